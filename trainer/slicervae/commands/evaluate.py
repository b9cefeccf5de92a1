"""Measure how good models are on volumes that they were not trained on, and draw what they have learned.

Writes metrics.json, report.html and figures/ (PNG and SVG). Bundles of one recipe, network and preprocessing are taken
for trials of one model, whose figures are averaged. With --run, the training of a bundle is known: its patients are
told from those of a test, its own images give figures on training, and its learning curve is drawn."""

import argparse
import sys
from pathlib import Path

from .hardware import add_device, hardware_of

MOST_SAMPLES = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    from SlicerVAELib.core.engine import PRIORS

    parser.add_argument(
        "bundles", type=Path, nargs="+", metavar="BUNDLE", help="model folder that 'slicervae export' wrote"
    )
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="folder of patients, or dicomweb+http://…/studies/UID"
    )
    parser.add_argument("--include", action="append", default=[], metavar="PATTERN", help="only volumes like this")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="no volumes like this")
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME=PATTERN",
        help="which volumes are a channel of a model of several images (default: *NAME*)",
    )
    parser.add_argument(
        "--run", dest="runs", action="append", type=Path, default=[], metavar="RUN", help="the run of a bundle"
    )
    parser.add_argument(
        "--train", type=Path, metavar="DIR", help="folder that bundles without --run were trained on, all of it"
    )
    parser.add_argument("--labels", type=Path, metavar="FILE.csv", help="patient,label: one column a label is shown")
    parser.add_argument("--samples", type=int, default=1000, metavar="N", help="samples that are judged; 0: none")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="decides which samples")
    parser.add_argument("--prior", default="auto", choices=PRIORS, help="what samples are drawn from")
    parser.add_argument(
        "--inception",
        type=Path,
        metavar="FILE",
        help="weights-inception-2015-12-05-6726825d.pth: FID and KID in place of FD-EffLite0 and KID-EffLite0",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="prepared images of the runs (default: the user's)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    """Evaluate on every volume found."""
    from SlicerVAELib.core.errors import UserError
    from SlicerVAELib.io.dicomweb import local_copy
    from SlicerVAELib.io.write import OutputFolder, write_json_atomically

    from ..console import cancel_on_interrupt, progress_bar
    from ..evaluation.cohort import Selection
    from ..evaluation.columns import read_labels
    from ..evaluation.evaluate import Question, evaluate
    from ..evaluation.page import to_json, to_page
    from ..evaluation.samples import Draws
    from .named import named

    if not 0 <= options.samples <= MOST_SAMPLES:
        raise UserError(f"--samples {options.samples} is not within 0 to {MOST_SAMPLES:,}; choose another number.")
    with (
        progress_bar("Evaluating") as listener,
        cancel_on_interrupt("Stopped; nothing was written.") as cancel,
        local_copy(options.data, cancel=cancel) as data,
    ):
        question = Question(
            bundles=tuple(options.bundles),
            data=data,
            selection=Selection(tuple(options.include), tuple(options.exclude), named(options.channel, "pattern")),
            runs=tuple(options.runs),
            train=options.train,
            labels=read_labels(options.labels) if options.labels else {},
            inception=options.inception,
            draws=Draws(options.samples, options.seed, options.prior),
            cache=options.cache,
            hardware=hardware_of(options),
        )
        answer = evaluate(question, listener, cancel)
        with OutputFolder(options.out) as folder:
            content = to_json(question, answer) | {"data": options.data}
            write_json_atomically(folder / "metrics.json", content)
            (folder / "report.html").write_text(to_page(question, answer), encoding="utf-8")
            for album in (answer.overview, *answer.albums):
                album.write(folder / "figures")
    several = len(options.bundles) > 1
    for row in content["volumes"]:
        sys.stdout.write(
            f"{row['bundle'] + ', ' if several else ''}{row['patient']}: mean squared error {row['mse']:.5f}, "
            f"MS-SSIM {row['ms_ssim']:.4f} ({row['ms_ssim_scales']} scales), {row['slices']} slices\n"
        )
    for notice in answer.notices:
        sys.stderr.write(f"Note: {notice}\n")
    sys.stdout.write(f"Wrote metrics.json, report.html and figures to {options.out}.\n")
