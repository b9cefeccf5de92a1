"""Make a model bundle of a run: its best weights with all that is needed to use them."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder that 'slicervae fit' wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder to make")
    parser.add_argument("--name", default="", help="name of the model (default: that of the folder)")
    parser.add_argument("--model-version", default="1.0.0", metavar="V", help="version of the model")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="the --cache of 'slicervae fit', if one was named")


def run(options: argparse.Namespace) -> None:
    """Export the run."""
    from ..export import export

    manifest = export(
        options.run_folder, options.out, name=options.name, version=options.model_version, cache=options.cache
    )
    figures = ", ".join(f"{name} {value:.5f}" for name, value in manifest.quality.items())
    sys.stdout.write(
        f"Wrote {manifest.title} to {options.out} ({figures}).\n"
        f"Next: slicervae reconstruct {options.out} INPUT --out DIR\n"
    )
