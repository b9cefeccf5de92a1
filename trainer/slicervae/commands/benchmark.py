"""Measure, and print the figures beside their targets as Markdown, ready for docs/results.md.

engine: reconstruction, resampling, worker and start-up. recipes: every recipe trained, and the speed of training.
structures: the masks that rtvae_structures reconstructs, for its three losses."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmarks and their options."""
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    engine = kinds.add_parser("engine", help="reconstruction, resampling, worker and start-up")
    _add_runs(engine)
    engine.set_defaults(measure=_engine)
    recipes = kinds.add_parser(
        "recipes", help="train every recipe on brain MR and phantoms; Ctrl-C stops, the same command goes on"
    )
    recipes.add_argument(
        "--budget",
        choices=("small", "full"),
        default="small",
        help="small: all recipes, 300 steps, smallest size; full: those with targets, 2000 steps at 128², 3 seeds",
    )
    recipes.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the open_ms data")
    recipes.add_argument("--out", type=Path, default=Path("runs/recipes"), metavar="DIR", help="folder of the trials")
    recipes.add_argument("--recipe", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    recipes.add_argument("--cohort", choices=("mr", "phantom"), help="only this one")
    _add_runs(recipes)
    recipes.set_defaults(measure=_recipes)
    structures = kinds.add_parser(
        "structures", help="structures of unseen phantoms from 12 latents; Ctrl-C stops, the same command goes on"
    )
    structures.add_argument(
        "--out", type=Path, default=Path("runs/structures"), metavar="DIR", help="results and cohort"
    )
    structures.add_argument("--seeds", type=int, default=10, metavar="N", help="trainings of the recipe")
    structures.add_argument("--baseline-seeds", type=int, default=3, metavar="N", help="of each plain cross-entropy")
    structures.set_defaults(measure=_structures)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="repetitions of each timing")


def run(options: argparse.Namespace) -> None:
    """Measure."""
    import os
    import platform

    import torch

    text = options.measure(options)
    runs = f", medians of {options.runs} runs" if "runs" in options else ""
    sys.stdout.write(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
        f"{runs}\n\n{text}"
    )


def _engine(options: argparse.Namespace) -> str:
    from ..benchmarks.engine import measure
    from ..benchmarks.figure import HEADER
    from ..console import progress_bar

    with progress_bar("Measuring") as listener:
        figures = measure(options.runs, listener)
    return "\n".join([HEADER, *(figure.line for figure in figures)]) + "\n"


def _recipes(options: argparse.Namespace) -> str:
    from ..benchmarks.outcomes import report
    from ..benchmarks.recipes import run_trials, speed
    from ..benchmarks.trials import trials_of
    from ..console import cancel_on_interrupt, progress_bar

    trials = [t for t in trials_of(options.budget, options.recipe) if options.cohort in (None, t.cohort)]
    with progress_bar("Training") as listener, cancel_on_interrupt("Stopped; the same command goes on.") as cancel:
        outcomes = run_trials(trials, options.data, options.out, listener, cancel)
    with progress_bar("Timing") as listener:
        figures = speed(options.data, options.out, options.runs, listener)
    return report(outcomes, figures)


def _structures(options: argparse.Namespace) -> str:
    from ..benchmarks.structures import measure, standard_plan, table
    from ..console import cancel_on_interrupt, progress_bar

    with progress_bar("Training") as listener, cancel_on_interrupt("Stopped; the same command goes on.") as cancel:
        outcomes = measure(standard_plan(), options.out, options.seeds, options.baseline_seeds, listener, cancel)
    return table(outcomes) + "\n"
