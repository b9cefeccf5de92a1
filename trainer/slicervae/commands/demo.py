"""The whole job from nothing to a report in a few minutes.

Makes phantom patients (or takes --data), trains a model, uses it on a patient it has never seen, loaded into a MRML
scene, and writes report.html, the volumes and summary.json."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder to write into")
    parser.add_argument("--data", type=Path, metavar="DIR", help="patients to use instead of phantoms")


def run(options: argparse.Namespace) -> None:
    """Run the demonstration."""
    from ..console import cancel_on_interrupt, progress_bar
    from ..demo import demo

    message = f"Stopped; {options.out} holds what was finished. Remove it before you start again."
    with progress_bar("Demonstration") as listener, cancel_on_interrupt(message) as cancel:
        summary = demo(options.out, options.data, listener=listener, cancel=cancel)
    seconds = sum(summary["seconds"].values())
    sys.stdout.write(f"Done in {seconds:.0f} s. Open {options.out / 'report.html'} in a browser.\n")
