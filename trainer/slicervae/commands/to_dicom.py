"""Write what a model made as DICOM, for the patient's study or, of samples, for nobody's.

Of a folder of 'slicervae reconstruct': the reconstruction as a derived series of its source, residual and anomaly map
as Parametric Maps, the field of view and, with --threshold, what lies above it as Segmentations; all refer to the
source and are called RESEARCH. Of a folder of 'slicervae sample': images of a fictitious patient, with SYNTHETIC burnt
in. Nothing is sent anywhere unless --send names a destination and the person confirms it."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from SlicerVAELib.io.export.folders import Exported


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("result", nargs="?", type=Path, metavar="RESULT", help="folder of 'slicervae reconstruct'")
    parser.add_argument(
        "--source", metavar="DIR", help="DICOM folder, or dicomweb+http address, of the series that the model saw"
    )
    parser.add_argument("--series", help="which series of DIR: its UID, the end of it, or its number")
    parser.add_argument("--threshold", type=float, metavar="X", help="also mark where the anomaly map lies above X")
    parser.add_argument("--samples", type=Path, metavar="DIR", help="folder of 'slicervae sample', instead of RESULT")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder to write into")
    parser.add_argument("--send", metavar="URL", help="then store it there: dicomweb+http://HOST:PORT/PATH")
    parser.add_argument("--yes", action="store_true", help="send without asking")


def run(options: argparse.Namespace) -> None:
    """Export, and send where that was asked for and confirmed."""
    from SlicerVAELib.core.errors import UserError
    from SlicerVAELib.io.export.folders import export_samples
    from SlicerVAELib.io.export.results import read_samples
    from SlicerVAELib.io.export.send import service_of, store

    if (options.result is None) == (options.samples is None):
        raise UserError("Give either the RESULT of 'slicervae reconstruct' with --source, or --samples.")
    service = service_of(options.send) if options.send else ""
    if service and not options.yes and not sys.stdin.isatty():
        raise UserError(f"Nobody is there to confirm that {service} shall get this; add --yes, or leave --send out.")
    if options.samples is not None:
        _refuse_options_of_results(options)
        exported = export_samples(read_samples(options.samples), options.out)
    else:
        exported = _export_result(options)
    for notice in exported.notices:
        sys.stderr.write(f"Note: {notice}\n")
    sys.stdout.write(f"Wrote {len(exported.files)} DICOM files to {options.out}.\n")
    if not service:
        return
    if not (options.yes or _is_confirmed(service, len(exported.files))):
        sys.stdout.write("Sent nothing.\n")
        return
    store(exported.files, service)
    sys.stdout.write(f"Stored {len(exported.files)} DICOM files in {service}.\n")


def _export_result(options: argparse.Namespace) -> "Exported":
    from SlicerVAELib.core.errors import UserError
    from SlicerVAELib.io.dicomweb import local_copy
    from SlicerVAELib.io.export.folders import export_outputs
    from SlicerVAELib.io.export.results import read_model_outputs
    from SlicerVAELib.io.export.source import read_source_series

    if options.source is None:
        raise UserError("The DICOM files refer to the series that the model saw; name its folder with --source.")
    outputs = read_model_outputs(options.result)
    with local_copy(options.source) as folder:
        source = read_source_series(folder, options.series or outputs.series_uid or None)
    return export_outputs(outputs, source, options.out, threshold=options.threshold)


def _refuse_options_of_results(options: argparse.Namespace) -> None:
    from SlicerVAELib.core.errors import UserError

    for name in ("source", "series", "threshold"):
        if getattr(options, name) is not None:
            raise UserError(f"Samples belong to no patient and have no map; leave --{name} out.")


def _is_confirmed(service: str, count: int) -> bool:
    sys.stdout.write(f"Send {count} DICOM files to {service}? Type 'yes' to send: ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() == "yes"
