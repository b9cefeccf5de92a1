"""The finished maps of a volume: what a method gives, compared with healthy patients, less what is cut from it."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
import torch

from ..body import eroded
from ..calibration import MethodCalibration
from ..conformal import p_value, too_few
from ..engine import NOT_SEEN, NOT_SEEN_SIGNED, AnomalyOptions
from ..healthy import body_on
from ..healthy_scales import Scale
from ..outputs import Output
from ..preprocessing import Preprocessing
from ..resampling import resample
from ..stack import Stack, body_in
from ..volume import Geometry, Volume
from .choice import Choice
from .method import Evidence, Method, Model
from .postprocessing import flatten_small_regions, smooth, smooth_in_space
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
    maps = named_maps(choice.method, evidence, model, preprocessing)
    body = functools.cache(lambda: body_in(stack, volume))  # which takes a second, and few maps need it
    notices = list(choice.notices)
    p = None
    if choice.calibration is None:
        sigma = choice.smoothing_mm(options) / float(stack.geometry.spacing[0])
        maps = {name: smooth(map_, sigma) for name, map_ in maps.items()}
    else:
        maps = z_scores(choice.calibration, maps, evidence, stack.geometry, body_on(stack, body()))
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


def named_maps(
    method: Method, evidence: Evidence, model: Model, preprocessing: Preprocessing
) -> dict[str, torch.Tensor]:
    """A method's maps (N, H, W) by their names, the fused one first, before any smoothing or calibration."""
    by_channel = method.maps(evidence, model)
    maps = {FUSED: method.fused(by_channel)}
    if by_channel.shape[1] > 1:
        maps |= {f"{FUSED} {name}": by_channel[:, index] for index, name in enumerate(preprocessing.channels)}
    return maps


def z_scores(
    calibration: MethodCalibration,
    maps: Mapping[str, torch.Tensor],
    evidence: Evidence,
    geometry: Geometry,
    body: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Maps as z-scores among healthy patients, from the body's mask (N, H, W)."""
    places, record = calibration.places(body), calibration.record
    return {
        name: calibration.healthy[name].z_scores(
            at_scales(map_, tissue_images(name, index, evidence), geometry, record.smoothing_mm, record.coarse_mm),
            places,
        )
        for index, (name, map_) in enumerate(maps.items())
    }


def at_scales(
    map_: torch.Tensor, tissue: torch.Tensor, geometry: Geometry, smoothing_mm: float, coarse_mm: float
) -> tuple[Scale, ...]:
    """A map (N, H, W) smoothed in the slice plane and, where ``coarse_mm`` is not 0, in three dimensions, with the
    reconstruction that tells the tissue."""
    in_plane, _, across = map(float, geometry.spacing)
    fine = Scale(smooth(map_, smoothing_mm / in_plane), tissue)
    if coarse_mm == 0:
        return (fine,)
    sigmas = coarse_mm / in_plane, coarse_mm / across
    return fine, Scale(smooth_in_space(map_, *sigmas), smooth_in_space(tissue, *sigmas))


def tissue_images(name: str, index: int, evidence: Evidence) -> torch.Tensor:
    """The reconstruction (N, H, W) whose intensity tells the tissue: a channel's own, of the fused map the first."""
    return evidence.reconstructions[:, 0 if name == FUSED else index - 1]


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
