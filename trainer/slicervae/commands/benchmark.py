"""Measure speed and print the figures beside their targets, as rows of a Markdown table."""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("what", choices=("engine",), help="engine: reconstruction, resampling, worker and start-up")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="repetitions of each measurement")


def run(options: argparse.Namespace) -> None:
    """Measure."""
    import os
    import platform

    import torch

    from ..benchmarks.engine import measure
    from ..console import progress_bar

    with progress_bar("Measuring") as listener:
        figures = measure(options.runs, listener)
    sys.stdout.write(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"medians of {options.runs} runs\n\n| figure | measured | target | |\n| --- | --- | --- | --- |\n"
    )
    for figure in figures:
        sys.stdout.write(figure.line + "\n")
