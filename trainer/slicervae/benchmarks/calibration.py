"""Whether a calibrated model gives as many false alarms as it says: on healthy phantoms, in many fixed splits.

Exact split-conformal p-values of n patients give an alarm for a new healthy patient with a probability that follows
Beta(k, n + 1 − k), k = ⌊α(n + 1)⌋; so the alarms among m of them are beta-binomial. The splits are drawn independently
and each has that very law, whatever the patients are like, so the alarms of all splits follow its convolution.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from SlicerVAELib.core.anomaly.maps import FUSED
from SlicerVAELib.core.conformal import fewest_patients, p_value
from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.healthy import OUTSIDE
from SlicerVAELib.core.healthy_scales import HealthyScales
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.progress import Cancel, Listener, Meter, part_of

from ..evaluation.calibration import CalibrationPlan
from ..evaluation.healthy_fit import fit_scales
from ..evaluation.healthy_maps import HealthyMaps, PatientMaps
from ..phantom import make_patient
from ..phantom.lesions import HEALTHY
from .figure import Figure

SIZE, SLICES = 64, 20
SEED = 90_210  # of phantoms that no recipe's benchmark trains on
SAMPLED_PIXELS = 20_000
MAPPING = 0.8  # of the time; the rest are the splits
SURE = 0.95


@dataclasses.dataclass(frozen=True)
class Trial:
    """``splits`` of ``patients`` healthy phantoms into ``fitted``, ``compared`` and the others, who are tested."""

    patients: int = 80
    splits: int = 50
    fitted: int = 20
    compared: int = 39

    @property
    def tested(self) -> int:
        """Number of patients tested in each split."""
        return self.patients - self.fitted - self.compared


def measure(bundle: Path, trial: Trial, hardware: Hardware, listener: Listener, cancel: Cancel) -> list[Figure]:
    """Calibrate in every split and count alarms. Raises UserError for a model that takes no thorax CT, Cancelled."""
    plan = CalibrationPlan()
    if trial.tested < 1 or trial.compared < fewest_patients(plan.false_alarm_rate):
        least = trial.fitted + trial.compared + 1
        raise UserError(f"With {trial.patients} patients no split is possible; give at least {least}.")
    healthy = _healthy(bundle, trial.patients, plan, hardware, part_of(listener, 0.0, MAPPING), cancel)
    alarms, beyond_two = outcomes(healthy, trial, plan.false_alarm_rate, part_of(listener, MAPPING, 1.0), cancel)
    return _figures(trial, plan.false_alarm_rate, alarms, beyond_two)


def outcomes(
    healthy: Sequence[PatientMaps], trial: Trial, rate: float, listener: Listener, cancel: Cancel
) -> tuple[int, float]:
    """Alarms among the tested patients of all splits, and the share of their bodies' pixels beyond a z-score of ±2."""
    samples = [patient.sample(number, SAMPLED_PIXELS)[FUSED] for number, patient in enumerate(healthy)]
    random = np.random.default_rng(0)
    meter = Meter(listener, "splits", trial.splits)
    alarms, beyond_two = 0, []
    for _ in range(trial.splits):
        cancel.check()
        order = random.permutation(trial.patients)
        fitted, compared, tested = np.split(order, [trial.fitted, trial.fitted + trial.compared])
        distribution = fit_scales([samples[number] for number in fitted])
        scores = [healthy[number].score(distribution) for number in compared]
        alarms += sum(p_value(healthy[number].score(distribution), scores) <= rate for number in tested)
        beyond_two.append(_beyond_two(healthy[tested[0]], distribution))
        meter.advance(1)
    return alarms, float(np.mean(beyond_two))


def alarms_expected(trial: Trial, rate: float) -> tuple[float, float, float]:
    """Mean and both ends of the central 95 % interval of the share of tested patients with an alarm, of all splits."""
    k = int(rate * (trial.compared + 1) + 1e-9)
    of_one = stats.betabinom(trial.tested, k, trial.compared + 1 - k).pmf(np.arange(trial.tested + 1))
    of_all = np.ones(1)
    for _ in range(trial.splits):
        of_all = np.convolve(of_all, of_one)
    below = np.cumsum(of_all)
    low, high = (int(np.searchsorted(below, share)) for share in ((1 - SURE) / 2, (1 + SURE) / 2))
    count = trial.splits * trial.tested
    return k / (trial.compared + 1), low / count, high / count


def _healthy(
    bundle: Path, patients: int, plan: CalibrationPlan, hardware: Hardware, listener: Listener, cancel: Cancel
) -> list[PatientMaps]:
    (method,) = plan.methods
    maps = HealthyMaps(bundle, read_manifest(bundle), plan.methods, plan.smoothing_mm, plan.coarse_mm, hardware)
    meter = Meter(listener, "mapping healthy phantoms", patients)
    made = []
    for number in range(1, patients + 1):
        cancel.check()
        volume = make_patient(SEED, number, size=SIZE, slices=SLICES, lesions=HEALTHY, cancel=cancel).volume
        made.append(maps.of(volume.replace(masks={}), None, cancel)[method])
        meter.advance(1)
    return made


def _beyond_two(patient: PatientMaps, distribution: HealthyScales) -> float:
    """Share of the body's pixels whose z-score is beyond ±2."""
    z_scores = patient.z_scores(distribution)[patient.places != OUTSIDE]
    return float((z_scores.abs() > 2).float().mean())


def _figures(trial: Trial, rate: float, alarms: int, beyond_two: float) -> list[Figure]:
    expected, low, high = alarms_expected(trial, rate)
    observed = 100 * alarms / (trial.splits * trial.tested)
    what = (
        f"healthy phantoms with an alarm at {100 * rate:g} %, {trial.splits} splits, {trial.compared} to compare with "
        f"and {trial.tested} tested in each"
    )
    return [
        Figure(f"{what} (95 % interval of the beta-binomials)", observed, "%", 100 * high),
        Figure(what, observed, "%", 100 * low, "at least"),
        Figure("… as exact split-conformal p-values have it", 100 * expected, "%"),
        Figure("pixels of healthy bodies beyond a z-score of ±2 (4.55 % of a normal one)", 100 * beyond_two, "%"),
    ]
