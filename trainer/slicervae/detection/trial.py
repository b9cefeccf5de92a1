"""All scores tried on all cases."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from SlicerVAELib.core.engine import AnomalyOptions, Engine, Hardware, Reconstruction, ReconstructRequest
from SlicerVAELib.core.preprocessing import Preprocessing
from SlicerVAELib.core.progress import Cancel, Meter, ignore

from .bootstrap import Interval, drawn, interval, patient_weights
from .cases import Case, CaseFile
from .counts import Counts, as_counted
from .regions import Regions, regions_of
from .scores import BASELINES, Answer, Score
from .slices import anomalous_slices, auroc, average_precision, slice_scores

GROUPS = 4096  # of scores that intervals are taken from
_NO_MAP = AnomalyOptions("absolute-residual", calibrated=False, smoothing_mm=0.0)


@dataclasses.dataclass(frozen=True)
class Detection:
    """How one score did on the test patients.

    Voxel figures are over all voxels of the body that the model saw, all patients together, with the 95 % interval of a
    bootstrap over patients. ``over_intensity`` and ``over_residual`` are the ratios of average precision to the two
    baselines, with paired intervals. ``dice`` is at the ``threshold`` that was best on other patients, ``best_dice``
    that at the best threshold for these. ``found`` of ``lesions`` regions were touched at that threshold, with
    ``false_alarms`` a scan. NaN where something has no meaning.
    """

    name: str
    uses_intensity: bool
    average_precision: float
    average_precision_interval: Interval
    auroc: float
    auroc_interval: Interval
    over_intensity: float
    over_intensity_interval: Interval
    over_residual: float
    over_residual_interval: Interval
    best_dice: float
    threshold: float
    dice: float
    lesions: int
    found: int
    false_alarms: float
    slice_average_precision: float
    slice_auroc: float


@dataclasses.dataclass(frozen=True)
class Outcome:
    """``detections`` in the order of the scores, the baselines first; ``prevalence`` is the anomalous share of the
    voxels, which is the average precision of guessing. ``missed_share`` of the anomalous voxels lie outside of the body
    or of the field of view. ``slice_elbo`` are AUROC and average precision of −ELBO over slices."""

    patients: int
    volumes: int
    slices: int
    anomalous_slices: int
    prevalence: float
    missed_share: float
    slice_elbo_auroc: float
    slice_elbo_average_precision: float
    detections: tuple[Detection, ...]


@dataclasses.dataclass(eq=False)
class _Seen:
    """What is kept of one volume: of each score the values in the looked-at region, and of the slices the scores."""

    patient: str
    truth: np.ndarray  # flat, within the region
    values: list[np.ndarray]
    slice_scores: list[np.ndarray]
    anomalous: np.ndarray  # (slices,)
    elbo: np.ndarray
    missed: int
    regions: list[Regions]


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """``scores`` of the model in ``bundle`` on cases; ``smallest_cm3`` is the smallest region that counts as marked."""

    engine: Engine
    bundle: Path
    preprocessing: Preprocessing
    scores: tuple[Score, ...]
    hardware: Hardware = Hardware()  # noqa: RUF009 - frozen
    smallest_cm3: float = 0.05
    show: Callable[[Case, Answer, list[np.ndarray]], None] | None = None

    def run(
        self, choosing: Sequence[CaseFile], testing: Sequence[CaseFile], meter: Meter, cancel: Cancel, seed: int = 0
    ) -> Outcome:
        """Choose thresholds on some cases, test on the others. Raises UserError and Cancelled."""
        every = (*BASELINES, *self.scores)
        chosen = [self._look(file, every, None, meter, cancel) for file in choosing]
        thresholds = [float("nan")] * len(every)
        if any(seen.truth.any() for seen in chosen):
            thresholds = [counts.best_threshold() for counts in _counts(chosen, len(every))]
        tested = [self._look(file, every, thresholds, meter, cancel) for file in testing]
        return _judged(every, tested, thresholds, seed)

    def _look(
        self,
        file: CaseFile,
        scores: Sequence[Score],
        thresholds: Sequence[float] | None,
        meter: Meter,
        cancel: Cancel,
    ) -> _Seen:
        cancel.check()
        case = file.read()
        results: dict[AnomalyOptions, Reconstruction] = {}
        low, high = self.preprocessing.intensity.window(case.volume.array)
        image = (case.volume.array - np.float32(low)) / np.float32(high - low)
        values, of_slices, regions, shown = [], [], [], []
        region = None
        for score in scores:
            options = score.needs or _NO_MAP
            if options not in results:
                if options is not _NO_MAP:  # two maps at once would not fit beside a large volume
                    results = {key: kept for key, kept in results.items() if key is _NO_MAP}
                results[options] = self._ask(case, options, cancel)
            result = results[options]
            positions = np.array(result.slice_positions_mm)
            region = case.body & (result.arrays["field_of_view"] != 0) if region is None else region
            map_ = score.of(Answer(image, result))
            values.append(as_counted(map_[region]))
            of_slices.append(slice_scores(map_, region, case.volume.geometry, self.preprocessing.plane, positions))
            if thresholds is not None:
                regions.append(self._regions(map_, region, case, thresholds[len(values) - 1]))
            if self.show is not None and thresholds is not None:
                shown.append(map_)
        assert region is not None
        plain = results[_NO_MAP]
        if self.show is not None and shown:
            self.show(case, Answer(image, plain), shown)
        anomalous = anomalous_slices(case.truth, case.volume.geometry, self.preprocessing.plane, positions)
        meter.advance(1)
        return _Seen(
            case.patient,
            case.truth[region],
            values,
            of_slices,
            anomalous,
            np.array(plain.slice_scores),
            int((case.truth & ~region).sum()),
            regions,
        )

    def _ask(self, case: Case, options: AnomalyOptions, cancel: Cancel) -> Reconstruction:
        outputs = ("residual",) if options is _NO_MAP else ("anomaly",)
        request = ReconstructRequest(self.bundle, case.volume, outputs, options, hardware=self.hardware)
        return self.engine.reconstruct(request, ignore, cancel)

    def _regions(self, map_: np.ndarray, region: np.ndarray, case: Case, threshold: float) -> Regions:
        if not np.isfinite(threshold):
            return Regions(0, 0, 0)
        marked = region & (as_counted(map_) >= threshold)
        return regions_of(marked, case.truth, case.volume.geometry.voxel_volume_cm3, self.smallest_cm3)


def _counts(seen: Sequence[_Seen], scores: int) -> list[Counts]:
    """The counts of each score, those of a patient's volumes together."""
    patients = list(dict.fromkeys(each.patient for each in seen))
    of_each = [[each for each in seen if each.patient == patient] for patient in patients]
    return [
        Counts.of(
            [
                (np.concatenate([each.values[n] for each in own]), np.concatenate([each.truth for each in own]))
                for own in of_each
            ]
        )
        for n in range(scores)
    ]


def _judged(scores: Sequence[Score], tested: Sequence[_Seen], thresholds: Sequence[float], seed: int) -> Outcome:
    counts = _counts(tested, len(scores))
    patients = len(counts[0].sound)
    weights = patient_weights(patients, seed)
    coarse = [each.coarser(GROUPS) for each in counts]
    precisions = [drawn(each.average_precision, weights) for each in coarse]
    anomalous = np.concatenate([each.anomalous for each in tested])
    elbo = np.concatenate([each.elbo for each in tested])
    missed = sum(each.missed for each in tested)
    found = sum(int(each.truth.sum()) for each in tested)
    detections = []
    for n, score in enumerate(scores):
        own = counts[n]
        of_slices = np.concatenate([each.slice_scores[n] for each in tested])
        regions = [each.regions[n] for each in tested]
        precision, threshold = float(own.average_precision()), thresholds[n]
        has_threshold = bool(np.isfinite(threshold))
        over = [(float(counts[base].average_precision()), precisions[base]) for base in (0, 1)]
        detections.append(
            Detection(
                name=score.name,
                uses_intensity=score.uses_intensity,
                average_precision=precision,
                average_precision_interval=interval(precisions[n], patients),
                auroc=float(own.auroc()),
                auroc_interval=interval(drawn(coarse[n].auroc, weights), patients),
                over_intensity=precision / over[0][0],
                over_intensity_interval=interval(precisions[n] / over[0][1], patients),
                over_residual=precision / over[1][0],
                over_residual_interval=interval(precisions[n] / over[1][1], patients),
                best_dice=float(np.nanmax(own.dice())),
                threshold=threshold,
                dice=own.dice_from(threshold) if has_threshold else float("nan"),
                lesions=sum(each.lesions for each in regions),
                found=sum(each.found for each in regions),
                false_alarms=sum(each.false_alarms for each in regions) / len(tested)
                if has_threshold
                else float("nan"),
                slice_average_precision=average_precision(of_slices, anomalous),
                slice_auroc=auroc(of_slices, anomalous),
            )
        )
    return Outcome(
        patients=patients,
        volumes=len(tested),
        slices=len(anomalous),
        anomalous_slices=int(anomalous.sum()),
        prevalence=found / sum(len(each.truth) for each in tested),
        missed_share=missed / (missed + found) if missed + found else 0.0,
        slice_elbo_auroc=auroc(elbo, anomalous),
        slice_elbo_average_precision=average_precision(elbo, anomalous),
        detections=tuple(detections),
    )
