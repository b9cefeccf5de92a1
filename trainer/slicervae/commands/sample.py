"""Draw synthetic slices from a model's prior.

Writes synthetic.nrrd, synthetic.png and result.json. The same seed gives the same slices; asking for more keeps the
first ones. A sample shows what the model learned; it is nobody's image."""

import argparse
import sys
from pathlib import Path

from .hardware import add_device, hardware_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="model folder that 'slicervae export' wrote")
    parser.add_argument("--count", type=int, default=16, metavar="N", help="number of slices")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="decides which slices")
    parser.add_argument("--temperature", type=float, default=1.0, help="factor of the prior's standard deviation")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    """Draw and write."""
    from SlicerVAELib.core.engine import SynthesizeRequest
    from SlicerVAELib.core.local_engine import LocalEngine

    from ..apply import sample_to_folder
    from ..console import cancel_on_interrupt, progress_bar

    request = SynthesizeRequest(
        bundle=options.bundle,
        count=options.count,
        seed=options.seed,
        temperature=options.temperature,
        hardware=hardware_of(options),
    )
    with progress_bar("Sampling") as listener, cancel_on_interrupt("Stopped; nothing was written.") as cancel:
        result = sample_to_folder(LocalEngine(), request, options.out, listener=listener, cancel=cancel)
    sys.stdout.write(f"Wrote {len(result.images)} synthetic slices to {options.out}.\n")
