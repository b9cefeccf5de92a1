"""What has to be known of the volumes before they can be prepared: for the preprocessing and the declaration."""

import dataclasses
import math
from collections.abc import Mapping

from SlicerVAELib.core.acquisition import UNKNOWN_TRAINING, TrainingAcquisition
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.planes import Plane, extents_mm, own_slices
from SlicerVAELib.core.preprocessing import ForegroundPercentiles, HounsfieldWindow, Preprocessing
from SlicerVAELib.core.records import from_data
from SlicerVAELib.core.stack import foreground_box
from SlicerVAELib.core.volume import Modality, Volume

from ..recipe import AUTO, Recipe

MARGIN = 1.05  # a foreground that just fits one patient needs room for the next


@dataclasses.dataclass(frozen=True)
class Facts:
    """Of one volume, or of all: ``side_mm`` is the largest in-plane extent, of the foreground for MR and of the grid
    otherwise; ``slice_step_mm`` the smallest and largest distance of slices."""

    modality: Modality
    body_part: str
    side_mm: float
    slice_step_mm: tuple[float, float]
    acquisition: TrainingAcquisition = UNKNOWN_TRAINING


def facts_of(volume: Volume, plane: Plane) -> Facts:
    """Those of one volume, whose slices are to lie in ``plane``."""
    step, _ = own_slices(volume.geometry, plane)
    counts = None
    if volume.modality is Modality.MR:
        lower, upper = foreground_box(volume)
        counts = upper - lower
    side = float(extents_mm(volume.geometry, plane, counts)[:2].max())
    acquisition = TrainingAcquisition.of(volume.source.acquisition)
    return Facts(volume.modality, volume.source.body_part, side, (step, step), acquisition)


def summed_up(facts: Mapping[str, Facts]) -> Facts:
    """Those of all volumes together, by name. Raises UserError for different modalities, or none that a model can
    be made for."""
    examples = {item.modality: name for name, item in facts.items()}
    if len(examples) > 1:
        named = " and ".join(f"{kind or 'unknown'} ({name})" for kind, name in examples.items())
        raise UserError(f"The volumes are of different modalities: {named}; choose with data.include or exclude.")
    modality, example = next(iter(examples.items()))
    if modality in (Modality.UNKNOWN, Modality.DOSE):
        raise UserError(
            f"The volumes, such as {example}, do not look like CT, MR or X-ray; choose images with data.include."
        )
    parts = [item.body_part for item in facts.values()]
    steps = [step for item in facts.values() for step in item.slice_step_mm]
    side = max(item.side_mm for item in facts.values())
    body_part = max(sorted(set(parts)), key=parts.count)
    acquisition = TrainingAcquisition.summed_up(item.acquisition for item in facts.values())
    return Facts(modality, body_part, side, (min(steps), max(steps)), acquisition)


def resolve_preprocessing(recipe: Recipe, facts: Facts, network: Network) -> Preprocessing:
    """The recipe's preprocessing with every "auto" decided from the volumes and the network.

    Raises UserError when it does not hold together.
    """
    settings = recipe.preprocessing
    is_ct = facts.modality is Modality.CT
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
    centre = ("foreground" if facts.modality is Modality.MR else "grid") if settings.centre == AUTO else settings.centre
    spacing = settings.spacing_mm
    if isinstance(spacing, str):
        margin = MARGIN if centre == "foreground" else 1.0
        spacing = math.ceil(facts.side_mm * margin / network.image_size * 100) / 100
    values = {
        "intensity": {"kind": kind, "lower": intensity.lower, "upper": intensity.upper},
        "size": network.image_size,
        "spacing_mm": spacing,
        "centre": centre,
        "slice_step_mm": None if isinstance(settings.slice_step_mm, str) else settings.slice_step_mm,
        "depth": depth_of(recipe, network),
        "plane": settings.plane,
        "body_only": settings.body_only,
        "channels": list(recipe.data.channels),
        "structures": recipe.data.structures,
    }
    return from_data(Preprocessing, values, where)


def depth_of(recipe: Recipe, network: Network) -> str:
    """Whether volumes become slices or cubes."""
    own = "cube" if network.dimensions == 3 else "slices"
    return own if recipe.preprocessing.depth == AUTO else recipe.preprocessing.depth


def check_network(recipe: Recipe, network: Network) -> None:
    """Raise UserError when the network takes other images than the recipe's data make."""
    depth = depth_of(recipe, network)
    if depth != ("cube" if network.dimensions == 3 else "slices"):
        taken = "cubes" if network.dimensions == 3 else "slices"
        raise UserError(f"The network of {recipe.name} takes {taken}; set preprocessing.depth to auto.")
    structures, images = len(recipe.data.structures), max(1, len(recipe.data.channels))
    wanted = max(0, network.structure_channels - 1)
    if structures and not wanted:
        raise UserError(f"The network of {recipe.name} takes no structures; leave out data.structures.")
    if structures != wanted:
        raise UserError(
            f"The network of {recipe.name} takes {wanted} structures, but data.structures names {structures}; name "
            f"{wanted}, or set the network's structures."
        )
    taken_images = network.channels - network.structure_channels
    if images != taken_images:
        raise UserError(
            f"The network of {recipe.name} takes {taken_images} image channels, but the data have {images}; name them "
            "with data.channels, such as T1=*T1*,FLAIR=*FLAIR*."
        )
