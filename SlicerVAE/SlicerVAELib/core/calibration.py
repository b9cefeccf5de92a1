"""What a bundle knows of healthy patients: calibration.json and calibration.safetensors, from ``slicervae calibrate``.

For each calibrated map there are its values in healthy patients (``core.healthy``), which make of it a z-score per
voxel, and the scores of other healthy patients, which make of it a p-value per patient (``core.conformal``).
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from .bundle_parts import check_belongs, has_part, read_part, weights_checksum, write_parts
from .errors import UserError
from .healthy import HealthyDistribution
from .manifest import Manifest, read_manifest
from .records import from_data, to_data

DESCRIPTION, ARRAYS = "calibration.json", "calibration.safetensors"
VERSION = 1
UNIT = "healthy z-score"


@dataclasses.dataclass(frozen=True)
class CalibratedMap:
    """One method as it was calibrated: ``smoothing_mm`` of the map before it is normalised, ``maps`` the names of its
    outputs, the fused one first, ``fitted_patients`` the number whose values were taken, ``patient_scores`` those of
    the other healthy patients, rising."""

    method: str
    smoothing_mm: float = dataclasses.field(metadata={"min": 0.0, "max": 50.0})
    maps: tuple[str, ...]
    fitted_patients: int = dataclasses.field(metadata={"min": 1})
    patient_scores: tuple[float, ...]


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
    healthy: Mapping[str, HealthyDistribution]


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
        _key(each.record.method, name, field): getattr(healthy, field)
        for each in calibration.methods
        for name, healthy in each.healthy.items()
        for field in ("edges", "location", "scale")
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
    healthy = {
        name: HealthyDistribution(
            *(arrays[_key(record.method, name, field)] for field in ("edges", "location", "scale"))
        )
        for name in record.maps
    }
    return MethodCalibration(record, healthy)


def _key(method: str, name: str, field: str) -> str:
    return f"{method}/{name}/{field}"


def _damaged(bundle: Path) -> UserError:
    return UserError(f"The calibration in {bundle} is damaged; run 'slicervae calibrate' again.")
