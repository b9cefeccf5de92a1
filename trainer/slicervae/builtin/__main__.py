"""``python -m slicervae.builtin``: make the demonstration model and patient anew."""

import argparse
import shutil
import sys
from pathlib import Path

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import part_of

from ..console import cancel_on_interrupt, progress_bar
from .model import calibrate_again, make_model
from .patient import make_patient_file


def main() -> int:
    """Make both, and replace those in the folder of resources by them."""
    parser = argparse.ArgumentParser(prog="python -m slicervae.builtin", description=__doc__)
    parser.add_argument("--resources", type=Path, required=True, metavar="DIR", help="the module's folder Resources")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="keeps what an interrupted try made")
    parser.add_argument(
        "--keep-model",
        action="store_true",
        help="train nothing: calibrate the model there is, map the patient",
    )
    options = parser.parse_args()
    model = options.resources / "Models" / "demonstration"
    try:
        with progress_bar("Demonstration model") as listener, cancel_on_interrupt("Stopped; try again.") as cancel:
            made = options.work / "bundle"
            shutil.rmtree(made, ignore_errors=True)
            if options.keep_model:
                shutil.copytree(model, made)
            make = calibrate_again if options.keep_model else make_model
            manifest = make(made, options.work, listener=part_of(listener, 0.0, 0.97), cancel=cancel)
            patient = options.work / "patient.npz"
            make_patient_file(patient, made, listener=part_of(listener, 0.97, 1.0), cancel=cancel)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(made, model)
    (options.resources / "Demonstration").mkdir(exist_ok=True)
    shutil.copy(patient, options.resources / "Demonstration" / "patient.npz")
    sys.stdout.write(f"{manifest.title} is in {model}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
