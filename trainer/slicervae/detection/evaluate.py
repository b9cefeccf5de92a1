"""From a bundle and a folder of patients to figures, curves and pictures of how well anomalies are found."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from SlicerVAELib.core.anomaly import METHODS, method_named
from SlicerVAELib.core.anomaly.choice import need_method
from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.calibration import Calibration, calibration_of
from SlicerVAELib.core.engine import AnomalyOptions, Hardware
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.core.manifest import Manifest, read_manifest
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.core.synthesis_parts import code_prior_of
from SlicerVAELib.io.write import OutputFolder, write_json_atomically

from ..evaluation.cohort import Selection, settings_of
from .cases import CaseFile, lesion_cases, object_cases, split_for_threshold
from .objects import CONTRASTS
from .page import page
from .pictures import Gallery
from .scores import BrightResidual, MapScore, Score
from .trial import Outcome, Trial

SLOW = ("restoration", "reconstruction-probability")
SIGNED = "signed-residual"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is evaluated: of ``truth`` (patterns of what marks anomalies) and ``objects_seed`` one is given; objects
    have one of the ``contrasts``. ``methods`` empty are all that the model has but the slow ones; ``choose_on`` empty
    is every third patient."""

    bundle: Path
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    channels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    truth: tuple[str, ...] = ()
    objects_seed: int | None = None
    contrasts: tuple[str, ...] = CONTRASTS
    methods: tuple[str, ...] = ()
    smoothing_mm: float | None = None
    choose_on: tuple[str, ...] = ()
    seed: int = 0
    hardware: Hardware = Hardware()  # noqa: RUF009 - frozen


@dataclasses.dataclass(frozen=True, eq=False)
class Told:
    """The outcome, and sentences for the person."""

    outcome: Outcome
    notices: tuple[str, ...]


def evaluate(plan: Plan, data: Path, out: Path, listener: Listener, cancel: Cancel) -> Told:
    """Try the plan's maps on the patients in ``data``; write metrics.json and report.html into ``out``, all or none.

    Raises UserError, before anything is computed where that is possible, and Cancelled.
    """
    manifest = read_manifest(plan.bundle)
    network = load_network(plan.bundle, manifest)
    calibration = calibration_of(plan.bundle, manifest)
    scores = scores_for(plan, manifest, network, calibration)
    cases = _cases(plan, manifest, data)
    choosing, testing = split_for_threshold(cases, plan.choose_on)
    gallery = Gallery([score.name for score in scores])
    trial = Trial(LocalEngine(), plan.bundle, manifest.preprocessing, scores, plan.hardware, show=gallery.show)
    outcome = trial.run(choosing, testing, Meter(listener, "trying the maps", len(cases)), cancel, plan.seed)
    if not any(detection.average_precision > 0 for detection in outcome.detections):
        what = ", ".join(f"'{pattern}'" for pattern in plan.truth) or "any object"
        raise UserError(f"No test volume of {data} shows {what} where the model looks; there is nothing to find.")
    notices = _notices(choosing, outcome, manifest, is_calibrated=calibration is not None)
    with OutputFolder(out) as folder:
        write_json_atomically(folder / "metrics.json", _facts(plan, manifest, data, outcome, notices))
        text = page(manifest.title, str(data), outcome, notices, gallery)
        (folder / "report.html").write_text(text, encoding="utf-8")
    return Told(outcome, tuple(notices))


def scores_for(plan: Plan, manifest: Manifest, network: Network, calibration: Calibration | None) -> tuple[Score, ...]:
    """What is tried beside the baselines: each map as it is and, where the bundle is calibrated for it, calibrated; of
    the signed residual both sides; and the positive residual with and without intensity."""
    names = plan.methods or [name for name in METHODS if name not in SLOW]
    scores: list[Score] = [*BrightResidual.both()]
    for name in names:
        method = method_named(name)
        prior = code_prior_of(network, plan.bundle, manifest) if method.needs_code_prior else None
        if plan.methods:
            need_method(name, network.latent, prior, manifest.title)
        elif method.reason_against(network.latent, prior):
            continue
        kinds = [False, True] if calibration is not None and calibration.of(name) is not None else [False]
        for calibrated in kinds:
            options = AnomalyOptions(name, calibrated, plan.smoothing_mm)
            called = f"{name}, calibrated" if calibrated else name
            scores.append(MapScore(options, called))
            if name == SIGNED:
                scores.append(MapScore(options, f"{called}, brighter", "brighter"))
                scores.append(MapScore(options, f"{called}, darker", "darker"))
    return tuple(scores)


def _cases(plan: Plan, manifest: Manifest, data: Path) -> list[CaseFile]:
    preprocessing = manifest.preprocessing
    settings = settings_of(Selection(plan.include, plan.exclude, plan.channels), preprocessing)
    if plan.objects_seed is not None:
        return object_cases(data, settings, plan.objects_seed, plan.contrasts, preprocessing)
    return lesion_cases(data, settings, plan.truth, preprocessing)


def _notices(choosing: Sequence[CaseFile], outcome: Outcome, manifest: Manifest, *, is_calibrated: bool) -> list[str]:
    notices = []
    if not choosing:
        notices.append("No patients are left to choose thresholds on, so there is no Dice at a chosen one.")
    if outcome.patients < 2:
        notices.append("One patient is no sample: there are no intervals.")
    if not is_calibrated:
        notices.append(f"{manifest.title} is not calibrated; 'slicervae calibrate' would add maps that are.")
    if outcome.missed_share > 0.01:
        notices.append(
            f"{100 * outcome.missed_share:.0f} % of the anomalous voxels lie outside of the body or of what the model "
            "sees, and are not counted."
        )
    return notices


def _facts(plan: Plan, manifest: Manifest, data: Path, outcome: Outcome, notices: Sequence[str]) -> dict[str, object]:
    """What metrics.json holds; null is what has no meaning."""
    return {
        "bundle": manifest.title,
        "bundle_sha256": manifest.checksum,
        "data": str(data),
        "truth": list(plan.truth),
        "objects_seed": plan.objects_seed,
        "contrasts": [] if plan.objects_seed is None else list(plan.contrasts),
        "smoothing_mm": plan.smoothing_mm,
        "notices": list(notices),
        "outcome": _without_nan(dataclasses.asdict(outcome)),
    }


def _without_nan(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list | tuple) else value
