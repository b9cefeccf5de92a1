"""What a bundle knows of healthy patients: calibration.json and calibration.safetensors, from ``slicervae calibrate``.

For each calibrated map there are its values in healthy patients (``core.healthy_scales``), which make of it a z-score
per voxel, and the scores of other healthy patients, which make of it a p-value per patient (``core.conformal``).
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
import torch

from .bundle_parts import check_belongs, has_part, read_part, weights_checksum, write_parts
from .errors import UserError
from .healthy import HealthyDistribution, places_in_body, places_in_box
from .healthy_scales import HealthyScales
from .healthy_tails import Tails
from .manifest import Manifest, read_manifest
from .records import from_data, to_data

DESCRIPTION, ARRAYS = "calibration.json", "calibration.safetensors"
VERSION = 2  # the first had one scale, and no tails
UNIT = "healthy z-score"
_SCALES = ("", "coarse/")  # the beginning of the names of each scale's arrays
_TABLES, _TAILS, _FARTHEST = ("edges", "location", "scale"), "tails", "farthest/"


@dataclasses.dataclass(frozen=True)
class CalibratedMap:
    """One method as it was calibrated: ``smoothing_mm`` of the map before it is normalised, ``maps`` the names of its
    outputs, the fused one first, ``fitted_patients`` the number whose values were taken, ``patient_scores`` those of
    the other healthy patients, rising. ``coarse_mm`` is the standard deviation, in three dimensions, of the Gaussian
    that makes the coarse scale; 0 where there is none."""

    method: str
    smoothing_mm: float = dataclasses.field(metadata={"min": 0.0, "max": 50.0})
    maps: tuple[str, ...]
    fitted_patients: int = dataclasses.field(metadata={"min": 1})
    patient_scores: tuple[float, ...]
    coarse_mm: float = dataclasses.field(default=0.0, metadata={"min": 0.0, "max": 100.0})


@dataclasses.dataclass(frozen=True)
class CalibrationDescription:
    """What calibration.json holds. ``false_alarm_rate`` is the share of healthy patients who may give an alarm."""

    weights_sha256: str
    created: str
    software: str
    false_alarm_rate: float = dataclasses.field(metadata={"min": 1e-6, "max": 0.999999})
    calibrated: tuple[CalibratedMap, ...]
    version: int = dataclasses.field(default=VERSION, metadata={"min": 1, "max": VERSION})


@dataclasses.dataclass(frozen=True, eq=False)
class MethodCalibration:
    """A calibrated method with the healthy distribution of each of its maps, by the map's name."""

    record: CalibratedMap
    healthy: Mapping[str, HealthyScales]

    def places(self, body: torch.Tensor) -> torch.Tensor:
        """Place of each pixel, (N, H, W), as it was when the calibration was made, from the body's mask (N, H, W)."""
        is_first_version = any(each.scales[0].tails is None for each in self.healthy.values())
        return places_in_box(body) if is_first_version else places_in_body(body)


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """All calibrated methods of a bundle, the one that it shows by itself first."""

    methods: tuple[MethodCalibration, ...]
    false_alarm_rate: float

    def of(self, method: str) -> MethodCalibration | None:
        """That of one method."""
        return next((each for each in self.methods if each.record.method == method), None)


def write_calibration(bundle: Path, calibration: Calibration, created: str, software: str) -> Manifest:
    """Put a calibration into a bundle, in the place of one that it has, and return its new manifest.

    Raises UserError for what is no bundle or can't be written.
    """
    manifest = read_manifest(bundle)
    description = CalibrationDescription(
        weights_sha256=weights_checksum(manifest),
        created=created,
        software=software,
        false_alarm_rate=calibration.false_alarm_rate,
        calibrated=tuple(each.record for each in calibration.methods),
    )
    arrays = {
        f"{each.record.method}/{name}/{key}": array
        for each in calibration.methods
        for name, healthy in each.healthy.items()
        for key, array in _arrays_of(healthy).items()
    }
    text = json.dumps(to_data(description), indent=2, ensure_ascii=False) + "\n"
    return write_parts(bundle, {ARRAYS: safetensors.numpy.save(arrays), DESCRIPTION: text.encode()})


def calibration_of(bundle: Path, manifest: Manifest) -> Calibration | None:
    """The calibration of a bundle, None where it has none. Raises UserError for a damaged or foreign one."""
    if not has_part(manifest, (DESCRIPTION, ARRAYS)):
        return None
    try:
        data = json.loads(read_part(bundle, manifest, DESCRIPTION))
        arrays = safetensors.numpy.load(read_part(bundle, manifest, ARRAYS))
    except (ValueError, RecursionError, safetensors.SafetensorError):
        raise _damaged(bundle) from None
    description = from_data(CalibrationDescription, data, str(bundle / DESCRIPTION))
    check_belongs(description.weights_sha256, bundle, manifest, "calibration", "calibrate")
    try:
        methods = tuple(_method(record, arrays) for record in description.calibrated)
    except (KeyError, ValueError):
        raise _damaged(bundle) from None
    return Calibration(methods, description.false_alarm_rate)


def _method(record: CalibratedMap, arrays: Mapping[str, np.ndarray]) -> MethodCalibration:
    if not record.maps or not np.isfinite(record.patient_scores).all():
        raise ValueError("there is no map, or a score that is no number")
    healthy = {name: _healthy(f"{record.method}/{name}", record.coarse_mm > 0, arrays) for name in record.maps}
    return MethodCalibration(record, healthy)


def _arrays_of(healthy: HealthyScales) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for prefix, scale in zip(_SCALES, healthy.scales, strict=False):
        arrays |= {prefix + field: getattr(scale, field) for field in _TABLES}
        if scale.tails is not None:
            arrays[prefix + _TAILS] = scale.tails.knots
    if healthy.tails is not None:
        arrays[_FARTHEST + _TAILS] = healthy.tails.knots
    return arrays


def _healthy(name: str, has_coarse: bool, arrays: Mapping[str, np.ndarray]) -> HealthyScales:
    """The distributions of the map ``name``; a KeyError or a ValueError tells of what is damaged."""

    def tails(prefix: str) -> Tails | None:
        knots = arrays.get(f"{name}/{prefix}{_TAILS}")
        return None if knots is None else Tails(knots)

    def scale(prefix: str) -> HealthyDistribution:
        edges, location, width = (arrays[f"{name}/{prefix}{field}"] for field in _TABLES)
        return HealthyDistribution(edges, location, width, tails(prefix))

    scales = tuple(map(scale, _SCALES[: 2 if has_coarse else 1]))
    return HealthyScales(scales, tails(_FARTHEST))


def _damaged(bundle: Path) -> UserError:
    return UserError(f"The calibration in {bundle} is damaged; run 'slicervae calibrate' again.")
