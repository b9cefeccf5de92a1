"""The options of commands that learn something more from the patients of a bundle's model."""

import argparse
import typing
from pathlib import Path

if typing.TYPE_CHECKING:
    from SlicerVAELib.core.manifest import Manifest
    from SlicerVAELib.core.progress import Cancel, Listener

    from ..data.by_patient import Patients


def add_patients(parser: argparse.ArgumentParser) -> None:
    """Add --run, --data, --set and --cache."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="RUN", dest="run_folder", help="the run it was exported from")
    source.add_argument("--data", metavar="DIR", help="folder of patients, or an address, as for 'slicervae fit'")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="key=value",
        dest="changes",
        help="with --data, a setting of the data as 'slicervae fit' takes it, such as data.include='*FLAIR*'",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="the --cache of 'slicervae fit', if one was named")


def patients_of(
    options: argparse.Namespace, manifest: "Manifest", listener: "Listener", cancel: "Cancel"
) -> "Patients":
    """The patients that those options name. Raises UserError and Cancelled."""
    from SlicerVAELib.core.errors import UserError
    from SlicerVAELib.io.dicomweb import local_copy

    from ..data.by_patient import patients_in_folder, patients_of_run
    from ..data.cache import Cache

    cache = Cache(options.cache)
    if options.run_folder is None:
        with local_copy(options.data, cancel=cancel) as folder:
            return patients_in_folder(manifest, folder, options.changes, options.seed, cache, listener, cancel)
    if options.changes:
        raise UserError("A run keeps its settings; leave out --set, or name the data with --data.")
    return patients_of_run(manifest, options.run_folder, options.seed, cache, listener, cancel)
