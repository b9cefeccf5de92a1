"""Calibrate a model's anomaly maps on healthy patients, so that they tell how unusual something is.

The maps of half of the patients tell their values in healthy tissue, place by place, which makes a healthy z-score of a
map. Each of the other half gives a score, which makes a p-value of a new patient's. Both are stored in the bundle;
'slicervae reconstruct' and 3D Slicer use them from then on. The patients must be healthy, else like those whom the
model will be used on, and none whom it was trained on."""

import argparse
import sys
from pathlib import Path

from .hardware import add_device, hardware_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="model folder that 'slicervae export' wrote")
    parser.add_argument(
        "--healthy",
        required=True,
        metavar="DIR",
        help="folder of healthy patients, or dicomweb+http://…/studies/UID",
    )
    parser.add_argument("--include", action="append", default=[], metavar="PATTERN", help="only volumes like this")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="no volumes like this")
    parser.add_argument(
        "--exclude-mask",
        action="append",
        default=[],
        metavar="PATTERN",
        help="structures or label maps, named like this, that do not count as healthy",
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME",
        help="map to calibrate, the first of several is shown by default (default: signed-residual)",
    )
    parser.add_argument("--smoothing", type=float, default=4.0, metavar="MM", help="σ that smooths the maps")
    parser.add_argument(
        "--coarse",
        type=float,
        default=12.0,
        metavar="MM",
        help="σ of a second scale, in three dimensions, at which what is faint but large shows; 0 for none",
    )
    parser.add_argument(
        "--false-alarm-rate", type=float, default=0.05, metavar="A", help="share of healthy patients who may give alarm"
    )
    parser.add_argument("--fit-share", type=float, default=0.5, metavar="F", help="share of the patients to fit to")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="decides who is fitted to")
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    """Calibrate."""
    from SlicerVAELib.core.conformal import alarm_level, too_few
    from SlicerVAELib.core.progress import part_of
    from SlicerVAELib.io.dicomweb import local_copy
    from SlicerVAELib.io.discover import discover

    from ..console import cancel_on_interrupt, progress_bar
    from ..evaluation.calibration import DEFAULT_METHODS, CalibrationPlan, calibrate

    plan = CalibrationPlan(
        methods=tuple(dict.fromkeys(options.method)) or DEFAULT_METHODS,
        smoothing_mm=options.smoothing,
        coarse_mm=options.coarse,
        false_alarm_rate=options.false_alarm_rate,
        fit_share=options.fit_share,
        seed=options.seed,
        exclude_masks=tuple(options.exclude_mask),
    )
    with (
        progress_bar("Calibrating") as listener,
        cancel_on_interrupt("Stopped; the bundle is as it was.") as cancel,
        local_copy(options.healthy, cancel=cancel) as healthy,
    ):
        found = discover(
            healthy,
            include=options.include,
            exclude=options.exclude,
            progress=part_of(listener, 0.0, 0.1),
            cancel=cancel,
        )
        calibration = calibrate(options.bundle, found, plan, hardware_of(options), part_of(listener, 0.1, 1.0), cancel)
    for each in calibration.methods:
        record, rate = each.record, calibration.false_alarm_rate
        count = len(record.patient_scores)
        level = alarm_level(record.patient_scores, rate)
        sys.stdout.write(
            f"{record.method}: fitted to {record.fitted_patients} patients, compared with {count} others; "
            f"alarm at a false-alarm rate of {rate:.3g} above a score of {level:.3g}.\n"
        )
        if doubt := too_few(count, rate):
            sys.stderr.write(f"Note: {doubt}\n")
    sys.stdout.write(f"The calibration is in {options.bundle}.\n")
