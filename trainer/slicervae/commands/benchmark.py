"""Measure, and print the figures beside their targets as Markdown, ready for docs/results.md.

engine: reconstruction, resampling, worker and start-up. clinical: reading, contouring and preprocessing. recipes: every
recipe trained, and the speed of training. structures: the masks that rtvae_structures reconstructs, for its three
losses. library: search, storage and retrieval of the patient library. calibration: false alarms of a calibrated model
on healthy phantoms."""

import argparse
import sys
import typing
from collections.abc import Callable
from pathlib import Path

from ..benchmarks.budgets import CUBE_STEPS, FULL_SEEDS, FULL_SIDE, FULL_STEPS, SMALL_STEPS

LIBRARY_PARTS = ("search", "storage", "structures", "retrieval")

if typing.TYPE_CHECKING:
    from SlicerVAELib.core.progress import Listener

    from ..benchmarks.figure import Figure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmarks and their options."""
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    layout = parser.formatter_class
    engine = kinds.add_parser("engine", help="reconstruction, resampling, worker and start-up", formatter_class=layout)
    _add_runs(engine, least=1, what="repetitions of each timing")
    engine.set_defaults(measure=_engine)
    clinical = kinds.add_parser("clinical", help="reading, contouring and preprocessing", formatter_class=layout)
    _add_runs(clinical, least=1, what="repetitions of each timing")
    clinical.set_defaults(measure=_clinical)
    recipes = kinds.add_parser(
        "recipes",
        help="train every recipe on brain MR and phantoms; Ctrl-C stops, the same command goes on",
        formatter_class=layout,
    )
    recipes.add_argument(
        "--budget",
        choices=("small", "full"),
        default="small",
        help=f"small: all recipes, {SMALL_STEPS} steps ({CUBE_STEPS} on cubes) at their smallest size; "
        f"full: those with targets, {FULL_STEPS} steps at {FULL_SIDE}², {FULL_SEEDS} seeds",
    )
    recipes.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the open_ms data")
    recipes.add_argument("--out", type=Path, default=Path("runs/recipes"), metavar="DIR", help="folder of the trials")
    recipes.add_argument("--recipe", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    recipes.add_argument("--cohort", choices=("mr", "phantom"), help="only this one")
    _add_runs(recipes, least=0, what="repetitions of the timing of training, 0 to leave it out")
    recipes.set_defaults(measure=_recipes)
    structures = kinds.add_parser(
        "structures",
        help="structures of unseen phantoms from 12 latents; Ctrl-C stops, the same command goes on",
        formatter_class=layout,
    )
    structures.add_argument(
        "--out", type=Path, default=Path("runs/structures"), metavar="DIR", help="results and cohort"
    )
    structures.add_argument("--seeds", type=int, default=10, metavar="N", help="trainings of the recipe")
    structures.add_argument("--baseline-seeds", type=int, default=3, metavar="N", help="of each plain cross-entropy")
    structures.set_defaults(measure=_structures)
    calibration = kinds.add_parser(
        "calibration", help="false alarms of a calibrated thorax model on healthy phantoms", formatter_class=layout
    )
    calibration.add_argument("bundle", type=Path, metavar="BUNDLE", help="model of the thorax in CT")
    calibration.add_argument("--patients", type=_at_least(1), default=80, metavar="N", help="healthy phantoms")
    calibration.add_argument("--splits", type=_at_least(1), default=50, metavar="N", help="of these patients")
    calibration.set_defaults(measure=_calibration)

    library = kinds.add_parser("library", help="searching similar slices and patients", formatter_class=layout)
    _add_runs(library, least=1, what="repetitions of each timing")
    library.add_argument("--server", metavar="URL", help="an empty PostgreSQL database with pgvector, to be filled")
    library.add_argument(
        "--part", action="append", default=[], choices=LIBRARY_PARTS, help="only this one; may be repeated"
    )
    library.add_argument(
        "--thorax",
        type=Path,
        action="append",
        default=[],
        metavar="BUNDLE",
        help="also find phantoms again by this CT model; may be repeated",
    )
    library.add_argument(
        "--epochs", type=_at_least(0), default=0, metavar="N", help="also train a model on slice 1 of each phantom"
    )
    library.add_argument("--patients", type=_at_least(10), default=100, metavar="N", help="phantoms for that")
    library.add_argument("--size", type=_at_least(32), default=128, metavar="N", help="pixels of a phantom's side")
    library.add_argument("--slices", type=_at_least(24), default=113, metavar="N", help="of a phantom; 113 are of 3 mm")
    library.add_argument(
        "--brain",
        type=Path,
        action="append",
        default=[],
        metavar="BUNDLE",
        help="also find visits again by this MR model; may be repeated",
    )
    library.add_argument("--visits", type=Path, metavar="DIR", help="folder of PATIENT/studyN_SEQUENCE.nii.gz for that")
    library.set_defaults(measure=_library)


def _add_runs(parser: argparse.ArgumentParser, least: int, what: str) -> None:
    parser.add_argument("--runs", type=_at_least(least), default=5, metavar="N", help=what)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least {least}")
        return int(text)

    return number


def run(options: argparse.Namespace) -> None:
    """Measure."""
    _show(options.measure(options), getattr(options, "runs", 0))


def _show(text: str, runs: int) -> None:
    import os
    import platform

    import torch

    medians = f", medians of {runs} runs" if runs else ""
    sys.stdout.write(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
        f"{medians}\n\n{text}"
    )


def _engine(options: argparse.Namespace) -> str:
    from ..benchmarks.engine import measure

    return _figures(options, measure)


def _clinical(options: argparse.Namespace) -> str:
    from ..benchmarks.clinical import measure

    return _figures(options, measure)


def _library(options: argparse.Namespace) -> str:
    from SlicerVAELib.core.errors import UserError
    from SlicerVAELib.core.progress import part_of

    from ..benchmarks import library_search, library_storage, library_structures, repeat_scans, retrieval
    from ..benchmarks.figure import HEADER
    from ..console import cancel_on_interrupt, progress_bar

    if bool(options.brain) != (options.visits is not None):
        raise UserError("--brain and --visits belong together; give both or none.")
    parts = options.part or LIBRARY_PARTS
    figures, tables = [], ""
    with progress_bar("Measuring") as listener, cancel_on_interrupt("Stopped.") as cancel:
        if "search" in parts:
            figures += library_search.measure(options.runs, part_of(listener, 0, 0.3))
        if "storage" in parts:
            figures += library_storage.measure(options.runs, part_of(listener, 0.3, 0.6), server=options.server)
        if "structures" in parts:
            figures += library_structures.measure(options.runs, part_of(listener, 0.6, 0.7))
        if "retrieval" in parts and options.thorax:
            cohort = (options.patients, options.size, options.slices)
            comparing = part_of(listener, 0.7, 0.9)
            found, step_mm = retrieval.retrievals(options.thorax, options.epochs, *cohort, comparing, cancel)
            figures += retrieval.figures(found, options.patients, step_mm)
            tables += f"\n{retrieval.table(found)}\n"
        if "retrieval" in parts:
            for bundle in options.brain:
                figures += repeat_scans.measure(bundle, options.visits, part_of(listener, 0.9, 1), cancel)
    return "\n".join([HEADER, *(figure.line for figure in figures)]) + "\n" + tables


def _figures(options: argparse.Namespace, measure: "Callable[[int, Listener], list[Figure]]") -> str:
    from ..benchmarks.figure import HEADER
    from ..console import progress_bar

    with progress_bar("Measuring") as listener:
        figures = measure(options.runs, listener)
    return "\n".join([HEADER, *(figure.line for figure in figures)]) + "\n"


def _recipes(options: argparse.Namespace) -> str:
    from SlicerVAELib.core.errors import Cancelled

    from ..benchmarks.outcomes import report
    from ..benchmarks.recipes import finished, run_trials, speed
    from ..benchmarks.trials import trials_of
    from ..console import cancel_on_interrupt, progress_bar

    trials = trials_of(options.budget, options.recipe, options.cohort)
    try:
        with cancel_on_interrupt("Stopped; the same command goes on.") as cancel:
            with progress_bar("Training") as listener:
                outcomes = run_trials(trials, options.data, options.out, listener, cancel)
            with progress_bar("Timing") as listener:
                figures = speed(options.data, options.out, options.runs, listener, cancel)
    except Cancelled:
        outcomes = finished(trials, options.out)
        there = {outcome.trial for outcome in outcomes}
        _show(report(outcomes, left_out=[trial for trial in trials if trial not in there]), 0)
        raise
    return report(outcomes, figures)


def _structures(options: argparse.Namespace) -> str:
    from ..benchmarks.structures import measure, standard_plan, table
    from ..console import cancel_on_interrupt, progress_bar

    with progress_bar("Training") as listener, cancel_on_interrupt("Stopped; the same command goes on.") as cancel:
        outcomes = measure(standard_plan(), options.out, options.seeds, options.baseline_seeds, listener, cancel)
    return table(outcomes) + "\n"


def _calibration(options: argparse.Namespace) -> str:
    from SlicerVAELib.core.engine import Hardware

    from ..benchmarks.calibration import Trial, measure
    from ..benchmarks.figure import HEADER
    from ..console import cancel_on_interrupt, progress_bar

    trial = Trial(patients=options.patients, splits=options.splits)
    with progress_bar("Measuring") as listener, cancel_on_interrupt("Stopped.") as cancel:
        figures = measure(options.bundle, trial, Hardware(), listener, cancel)
    return "\n".join([HEADER, *(figure.line for figure in figures)]) + "\n"
