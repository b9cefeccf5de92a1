"""How well a model's anomaly maps find what is known to be there, beside a plain threshold of the image.

With --truth the anomalies are those that structures or label maps like a pattern mark ('*lesion*'); with --objects
foreign objects of known place are rendered into the volumes, which should be healthy: brighter, darker, and of the same
mean brightness. Thresholds are chosen on other patients than those tested. Writes metrics.json and report.html."""

import argparse
import sys
from pathlib import Path

from .hardware import add_device, hardware_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="model folder that 'slicervae export' wrote")
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="folder of patients, or dicomweb+http://…/studies/UID"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--truth", action="append", metavar="PATTERN", help="structures or mask files that mark anomalies; repeatable"
    )
    what.add_argument("--objects", type=int, metavar="SEED", help="put foreign objects into the volumes, the same ones")
    parser.add_argument(
        "--contrast",
        action="append",
        choices=("brighter", "darker", "equal"),
        help="only objects like this beside what they lie in; repeatable (default: all)",
    )
    parser.add_argument("--include", action="append", default=[], metavar="PATTERN", help="only volumes like this")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="no volumes like this")
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME=PATTERN",
        help="the image of a channel, for a model of several; NAME as the model calls it",
    )
    parser.add_argument(
        "--method", action="append", default=[], metavar="NAME", help="only this map; default: all but slow ones"
    )
    parser.add_argument(
        "--smoothing", type=float, metavar="MM", help="σ that smooths each map (default: as calibrated, else 2)"
    )
    parser.add_argument(
        "--choose-on", action="append", default=[], metavar="PATIENT", help="patients to choose thresholds on"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap over patients")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    """Try the maps, and tell."""
    from SlicerVAELib.io.dicomweb import local_copy

    from ..console import cancel_on_interrupt, progress_bar
    from ..detection.evaluate import Plan, evaluate
    from ..detection.objects import CONTRASTS
    from ..detection.page import text
    from .named import named

    plan = Plan(
        bundle=options.bundle,
        include=tuple(options.include),
        exclude=tuple(options.exclude),
        channels=named(options.channel, "pattern"),
        truth=tuple(options.truth or ()),
        objects_seed=options.objects,
        contrasts=tuple(options.contrast or CONTRASTS),
        methods=tuple(options.method),
        smoothing_mm=options.smoothing,
        choose_on=tuple(options.choose_on),
        seed=options.seed,
        hardware=hardware_of(options),
    )
    with (
        progress_bar("Evaluating maps") as listener,
        cancel_on_interrupt("Stopped; nothing was written.") as cancel,
        local_copy(options.data, cancel=cancel) as data,
    ):
        outcome = evaluate(plan, data, options.out, listener, cancel)
    for notice in outcome.notices:
        sys.stderr.write(f"Note: {notice}\n")
    sys.stdout.write(text(outcome.outcome))
    sys.stdout.write(f"Wrote metrics.json and report.html to {options.out}.\n")
