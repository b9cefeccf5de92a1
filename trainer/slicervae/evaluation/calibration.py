"""Calibrating a model on healthy patients: ``slicervae calibrate``."""

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from SlicerVAELib.core.anomaly.maps import FUSED
from SlicerVAELib.core.calibration import CalibratedMap, Calibration, MethodCalibration, write_calibration
from SlicerVAELib.core.conformal import check_rate
from SlicerVAELib.core.engine import AnomalyOptions, Hardware
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import SOFTWARE
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.core.records import from_data
from SlicerVAELib.core.structure_names import StructureNames
from SlicerVAELib.core.volume import Volume
from SlicerVAELib.io.discover import Found

from ..data.masks import MaskFiles
from ..data.split import SMALLEST_COHORT, split_patients
from .healthy_fit import Sample, fit_every_map
from .healthy_maps import HealthyMaps, PatientMaps

DEFAULT_METHODS = ("signed-residual",)
LARGEST_COARSE_MM = 100.0


@dataclasses.dataclass(frozen=True)
class CalibrationPlan:
    """What is calibrated and how: the names of the ``methods``, the first of which the bundle shows by itself; the
    smoothing of the maps in mm, in the slice plane and, for the coarse scale, in three dimensions (0 makes none); the
    ``false_alarm_rate`` for patients; the share of the patients who are fitted to, chosen by ``seed``; masks with names
    like ``exclude_masks`` do not count as healthy."""

    methods: tuple[str, ...] = DEFAULT_METHODS
    smoothing_mm: float = 4.0
    coarse_mm: float = 12.0
    false_alarm_rate: float = 0.05
    fit_share: float = 0.5
    seed: int = 0
    exclude_masks: tuple[str, ...] = ()


def calibrate(
    bundle: Path,
    healthy: Sequence[Found],
    plan: CalibrationPlan,
    hardware: Hardware,
    listener: Listener,
    cancel: Cancel,
) -> Calibration:
    """Calibrate a bundle on healthy volumes, put the result into it, and return it.

    The patients are split: those of one part give the distribution that makes z-scores, and each of the other part a
    score, by which the p-values of new patients are found. For scores, a patient with several volumes counts with the
    first of them. Raises UserError and Cancelled; the bundle is then as it was.
    """
    check_rate(plan.false_alarm_rate)
    _check_scales(plan)
    manifest = read_manifest(bundle)
    maps = HealthyMaps(bundle, manifest, plan.methods, plan.smoothing_mm, plan.coarse_mm, hardware)
    fitted, scored = split(healthy, plan.fit_share, plan.seed)
    meter = Meter(listener, "mapping healthy patients", len(fitted) + len(scored))

    def maps_of(found: Found) -> dict[str, PatientMaps]:
        cancel.check()
        made = maps.of(*_read(found, plan.exclude_masks), cancel)
        meter.advance(1)
        return made

    samples: dict[str, list[dict[str, tuple[Sample, ...]]]] = {method: [] for method in plan.methods}
    for number, found in enumerate(fitted):
        for method, made in maps_of(found).items():
            samples[method].append(made.sample(plan.seed + number))
    distributions = {method: fit_every_map(of_patients) for method, of_patients in samples.items()}
    scores: dict[str, list[float]] = {method: [] for method in plan.methods}
    for found in scored:
        for method, made in maps_of(found).items():
            scores[method].append(made.score(distributions[method][FUSED]))

    patients = len({found.patient for found in fitted})
    methods = []
    for method, healthy_maps in distributions.items():
        names, others = tuple(healthy_maps), tuple(sorted(scores[method]))
        record = CalibratedMap(method, plan.smoothing_mm, names, patients, others, plan.coarse_mm)
        methods.append(MethodCalibration(record, healthy_maps))
    calibration = Calibration(tuple(methods), plan.false_alarm_rate)
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_calibration(bundle, calibration, created, SOFTWARE)
    return calibration


def _check_scales(plan: CalibrationPlan) -> None:
    """Raise UserError for a smoothing that no map can have, and for a coarse scale that is not the coarser one."""
    from_data(AnomalyOptions, {"smoothing_mm": plan.smoothing_mm}, "The calibration")
    if not (plan.coarse_mm == 0 or plan.smoothing_mm < plan.coarse_mm <= LARGEST_COARSE_MM):
        raise UserError(
            f"A coarse scale of {plan.coarse_mm:g} mm beside a smoothing by {plan.smoothing_mm:g} mm makes no sense; "
            f"give more than that, up to {LARGEST_COARSE_MM:g} mm, or 0 for none."
        )


def split(healthy: Sequence[Found], fit_share: float, seed: int) -> tuple[list[Found], list[Found]]:
    """The volumes to fit to, and one of each other patient. Raises UserError for fewer than three patients."""
    if not 0 < fit_share < 1:
        raise UserError(f"The share of patients to fit to is {fit_share:g}; give one between 0 and 1.")
    names = {found.patient for found in healthy}
    if len(names) < SMALLEST_COHORT:
        raise UserError(f"A calibration needs at least {SMALLEST_COHORT} healthy patients; there are {len(names)}.")
    to_fit, to_score = split_patients(names, 1 - fit_share, seed)
    first = {found.patient: found for found in reversed(healthy)}
    return [found for found in healthy if found.patient in to_fit], [first[name] for name in to_score]


def _read(found: Found, exclude_masks: Sequence[str]) -> tuple[Volume, np.ndarray | None]:
    """The volume, and where it does not count as healthy."""
    volume = found.read()
    if not exclude_masks:
        return volume, None
    return volume, MaskFiles(volume, found.mask_files, exclude_masks, StructureNames()).like(exclude_masks)
