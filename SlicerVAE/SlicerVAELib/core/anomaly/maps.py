"""The finished maps of a volume: what a method gives, compared with healthy patients, less what is cut from it."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import torch

from ..body import eroded
from ..calibration import MethodCalibration
from ..conformal import p_value, too_few
from ..engine import NOT_SEEN, NOT_SEEN_SIGNED, AnomalyOptions
from ..healthy import places_of
from ..outputs import Output
from ..preprocessing import Preprocessing
from ..resampling import resample
from ..stack import Stack, body_in
from ..volume import Geometry, Volume
from .choice import Choice
from .method import Evidence, Method, Model
from .postprocessing import flatten_small_regions, smooth
from .scores import map_scores, patient_score

FUSED = "anomaly"
LARGEST = 999.0  # absolute value of signed maps


@dataclasses.dataclass(frozen=True, eq=False)
class AnomalyMaps:
    """The maps as outputs, the fused one first, a score of each slice, and the patient's p-value."""

    outputs: list[Output]
    slice_scores: tuple[float, ...]
    patient_p_value: float | None
    notices: tuple[str, ...]


def make_maps(
    choice: Choice,
    options: AnomalyOptions,
    evidence: Evidence,
    model: Model,
    stack: Stack,
    volume: Volume,
    preprocessing: Preprocessing,
) -> AnomalyMaps:
    """The maps of a volume in the model's space."""
    maps = smoothed_maps(choice.method, evidence, model, preprocessing, options.smoothing_mm)
    body = functools.cache(lambda: body_in(stack, volume))  # which takes a second, and few maps need it
    notices = list(choice.notices)
    p = None
    if choice.calibration:
        maps = z_scores(choice.calibration, maps, evidence, places_of(stack, body()))
        healthy = choice.calibration.record.patient_scores
        p = p_value(patient_score(maps[FUSED], stack.geometry.voxel_volume_cm3), healthy)
        notices += _on_the_patient(p, len(healthy), choice.false_alarm_rate)
    if choice.is_signed:  # what lies beyond marks what was not seen
        maps = {name: map_.clamp(-LARGEST, LARGEST) for name, map_ in maps.items()}
    looked_at = None
    if options.body_erosion_mm is not None:
        inside, looked_at = _inner_body(stack, body(), options.body_erosion_mm)
        maps = {name: map_ * inside for name, map_ in maps.items()}
    if options.minimum_region_cm3 > 0:
        fewest = options.minimum_region_cm3 / stack.geometry.voxel_volume_cm3
        maps = {name: flatten_small_regions(map_, options.region_threshold, fewest) for name, map_ in maps.items()}
    not_seen = NOT_SEEN_SIGNED if choice.is_signed else NOT_SEEN
    outputs = [Output(name, map_, not_seen, looked_at) for name, map_ in maps.items()]
    return AnomalyMaps(outputs, tuple(map_scores(maps[FUSED]).tolist()), p, tuple(notices))


def smoothed_maps(
    method: Method, evidence: Evidence, model: Model, preprocessing: Preprocessing, smoothing_mm: float
) -> dict[str, torch.Tensor]:
    """A method's maps (N, H, W) by their names, the fused one first, before any calibration."""
    by_channel = method.maps(evidence, model)
    sigma = smoothing_mm / preprocessing.spacing_mm
    return {name: smooth(map_, sigma) for name, map_ in _named(method, by_channel, preprocessing)}


def z_scores(
    calibration: MethodCalibration, maps: dict[str, torch.Tensor], evidence: Evidence, places: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Maps as z-scores among healthy patients."""
    return {
        name: calibration.healthy[name].z_scores(map_, tissue_images(name, index, evidence), places)
        for index, (name, map_) in enumerate(maps.items())
    }


def tissue_images(name: str, index: int, evidence: Evidence) -> torch.Tensor:
    """The reconstruction (N, H, W) whose intensity tells the tissue: a channel's own, of the fused map the first."""
    return evidence.reconstructions[:, 0 if name == FUSED else index - 1]


def _named(
    method: Method, by_channel: torch.Tensor, preprocessing: Preprocessing
) -> Iterator[tuple[str, torch.Tensor]]:
    yield FUSED, method.fused(by_channel)
    if by_channel.shape[1] > 1:
        for index, channel in enumerate(preprocessing.channels):
            yield f"{FUSED} {channel}", by_channel[:, index]


def _inner_body(stack: Stack, body: tuple[np.ndarray, Geometry], depth_mm: float) -> tuple[torch.Tensor, np.ndarray]:
    """Where the body is at least so deep: on the model's grid, and on the input's."""
    mask, grid = body
    inner = eroded(mask, depth_mm)
    inside, looked_at = (resample(inner, grid, target, fill=0.0) > 0.5 for target in (stack.geometry, stack.source))
    return inside, looked_at.numpy()


def _on_the_patient(p: float, healthy: int, rate: float) -> list[str]:
    if doubt := too_few(healthy, rate):
        return [doubt]
    if p > rate:
        return []
    return [
        f"This patient is unusual for the model (p = {p:.2g}, of {healthy} healthy patients): at most {100 * rate:g} % "
        "of healthy patients give this alarm."
    ]
