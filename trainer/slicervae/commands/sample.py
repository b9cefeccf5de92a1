"""Draw synthetic slices from a model's prior, or a volume of slices that change little by little.

Writes synthetic.nrrd, synthetic.png and result.json, and structures.seg.nrrd where the model has structures. The same
seed gives the same slices; asking for more keeps the first ones. Drawn from is the best prior that the bundle has (see
'slicervae fit-prior'). A sample shows what the model learned; it is nobody's image."""

import argparse
import sys
from pathlib import Path

from SlicerVAELib.core.engine import PRIORS

from .hardware import add_device, hardware_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="model folder that 'slicervae export' wrote")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--count", type=int, default=16, metavar="N", help="number of slices")
    amount.add_argument(
        "--path", type=int, metavar="N", help="a volume of slices on the way from one of N draws to the next"
    )
    parser.add_argument("--steps", type=int, default=8, metavar="M", help="with --path: steps from a draw to the next")
    parser.add_argument(
        "--straight", action="store_true", help="with --path: along straight lines instead of great circles"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="decides which slices")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="less than 1: more usual slices, above: more varied"
    )
    parser.add_argument("--prior", choices=PRIORS, default="auto", help="what to draw from; auto is the best there is")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    """Draw and write."""
    from SlicerVAELib.core.engine import LatentPath, SynthesizeRequest
    from SlicerVAELib.core.local_engine import LocalEngine

    from ..apply import sample_to_folder
    from ..console import cancel_on_interrupt, progress_bar

    path = None
    if options.path is not None:
        path = LatentPath(options.steps, "linear" if options.straight else "spherical")
    request = SynthesizeRequest(
        bundle=options.bundle,
        count=options.count if options.path is None else options.path,
        seed=options.seed,
        temperature=options.temperature,
        hardware=hardware_of(options),
        prior=options.prior,
        path=path,
    )
    with progress_bar("Sampling") as listener, cancel_on_interrupt("Stopped; nothing was written.") as cancel:
        result = sample_to_folder(LocalEngine(), request, options.out, listener=listener, cancel=cancel)
    for notice in result.notices:
        sys.stderr.write(f"Note: {notice}\n")
    drawn_from = result.provenance.parameters["prior"]
    sys.stdout.write(f"Wrote {len(result.images)} synthetic slices, drawn from {drawn_from}, to {options.out}.\n")
