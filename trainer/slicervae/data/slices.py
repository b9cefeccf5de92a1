"""The volumes of a cohort as one array of slices in the model's space."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.preprocessing import ForegroundPercentiles, HounsfieldWindow, Preprocessing
from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.core.records import from_data
from SlicerVAELib.core.stack import foreground_box, prepare
from SlicerVAELib.core.volume import Modality, Volume
from SlicerVAELib.io.discover import Found

from ..recipe import AUTO, PreprocessingSettings

MARGIN = 1.05  # a foreground that just fits one patient needs room for the next


@dataclasses.dataclass(frozen=True, eq=False)
class Slices:
    """Slices of some patients: ``pixels`` float32 (N, 1, H, W) in [0, 1], ``patients`` the patient of each."""

    pixels: torch.Tensor
    patients: tuple[str, ...]

    def of(self, names: Sequence[str]) -> torch.Tensor:
        """The slices of some patients."""
        wanted = set(names)
        return self.pixels[torch.tensor([patient in wanted for patient in self.patients], dtype=torch.bool)]


@dataclasses.dataclass(frozen=True)
class Cohort:
    """What was learned of the training volumes on the way: for the preprocessing and the bundle's declaration."""

    modality: Modality
    body_part: str
    side_mm: float  # largest in-plane extent, of the grid for CT and of the foreground otherwise
    slice_step_mm: tuple[float, float]


def survey(found: Sequence[Found], listener: Listener, cancel: Cancel) -> Cohort:
    """Read every volume once and learn what the preprocessing must fit.

    Raises UserError for volumes of different modalities.
    """
    meter = Meter(listener, "looking at the volumes", len(found))
    modalities: dict[Modality, str] = {}
    sides, steps, parts = [], [], []
    for item in found:
        cancel.check()
        volume = item.read()
        modalities.setdefault(volume.modality, str(item.path))
        sides.append(_side_mm(volume))
        axis = int(np.abs(volume.geometry.directions[2]).argmax())
        steps.append(float(volume.geometry.spacing[axis]))
        parts.append(volume.source.body_part)
        meter.advance(1)
    if len(modalities) > 1:
        examples = " and ".join(f"{kind or 'unknown'} ({path})" for kind, path in modalities.items())
        raise UserError(f"The volumes are of different modalities: {examples}; choose with data.include or exclude.")
    modality = next(iter(modalities))
    part = max(set(parts), key=parts.count)
    return Cohort(modality, part, max(sides), (min(steps), max(steps)))


def resolve_preprocessing(settings: PreprocessingSettings, cohort: Cohort, size: int) -> Preprocessing:
    """The recipe's preprocessing with every "auto" decided from the cohort."""
    is_ct = cohort.modality is Modality.CT
    kind = settings.intensity
    if kind == AUTO:
        kind = "hounsfield" if is_ct else "foreground-percentiles"
    bounds = {"lower": settings.lower, "upper": settings.upper}
    chosen = {name: value for name, value in bounds.items() if value != AUTO}
    where = "the recipe, preprocessing"
    intensity: HounsfieldWindow | ForegroundPercentiles
    if kind == "hounsfield":
        intensity = from_data(HounsfieldWindow, chosen, where)
    else:
        intensity = from_data(ForegroundPercentiles, chosen, where)
    if intensity.lower >= intensity.upper:
        raise UserError(f"The intensity window {intensity.lower:g} to {intensity.upper:g} is empty; set lower < upper.")
    centre = ("grid" if is_ct else "foreground") if settings.centre == AUTO else settings.centre
    spacing = settings.spacing_mm
    if isinstance(spacing, str):
        margin = MARGIN if centre == "foreground" else 1.0
        spacing = math.ceil(cohort.side_mm * margin / size * 100) / 100
    step = None if isinstance(settings.slice_step_mm, str) else settings.slice_step_mm
    return Preprocessing(intensity, size, spacing, centre, step)


def read_slices(found: Sequence[Found], preprocessing: Preprocessing, listener: Listener, cancel: Cancel) -> Slices:
    """Every volume in the model's space, one after the other."""
    meter = Meter(listener, "preparing the slices", len(found))
    stacks, patients = [], []
    for item in found:
        cancel.check()
        volume = item.read()
        if volume.array.dtype.kind == "f" and not np.isfinite(volume.array).all():
            raise UserError(f"{item.path} holds values that are not numbers; repair it, or leave it out with exclude.")
        stacks.append(prepare(volume, preprocessing).pixels)
        patients += [item.patient] * len(stacks[-1])
        meter.advance(1)
    return Slices(torch.cat(stacks), tuple(patients))


def _side_mm(volume: Volume) -> float:
    if volume.modality is Modality.CT:
        extent = np.abs(volume.geometry.ijk_to_ras[:3, :3]) @ np.array(volume.geometry.shape[::-1])
    else:
        lower, upper = foreground_box(volume)
        extent = np.abs(volume.geometry.ijk_to_ras[:3, :3]) @ (upper - lower)
    return float(extent[:2].max())
