"""Reconstruct a CT or MR volume and map what the model can't explain.

Writes reconstruction.nrrd, residual.nrrd (input − reconstruction), anomaly.nrrd, field_of_view.nrrd (1 where the model
saw the input) and result.json; for a model of several images, or of structures, one file more for each. Research and
decision support: nothing found does not mean normal."""

import argparse
import sys
from pathlib import Path

from .anomaly_options import add_anomaly, anomaly_of
from .hardware import add_device, hardware_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="model folder that 'slicervae export' wrote")
    parser.add_argument(
        "input", metavar="INPUT", help="DICOM folder, NIfTI, NRRD or MHA file, or dicomweb+http://…/studies/UID"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument("--series", help="which series of a DICOM folder: its UID, the end of it, or its number")
    parser.add_argument("--frame", type=int, metavar="N", help="which volume of a time series, from 1")
    parser.add_argument("--modality", choices=("CT", "MR"), help="what the values are, where the file does not say")
    parser.add_argument(
        "--structures", type=Path, metavar="FILE", help="RT structure set or label map; result.json sums up its regions"
    )
    parser.add_argument(
        "--structure-names",
        type=Path,
        metavar="FILE",
        help="the site's own names of structures, in lines 'standard name: synonym, synonym'",
    )
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a further image of the patient, for a model of several; NAME as the model calls it",
    )
    add_anomaly(parser)
    parser.add_argument(
        "--sample-seed", type=int, metavar="S", help="decode a seeded draw of the posterior instead of its mean"
    )
    parser.add_argument(
        "--override", action="store_true", help="let a demonstration model look at a patient; result.json tells it"
    )
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    """Reconstruct one volume."""
    from SlicerVAELib.core.engine import ReconstructRequest
    from SlicerVAELib.core.local_engine import LocalEngine
    from SlicerVAELib.core.manifest import read_manifest
    from SlicerVAELib.core.outputs import OUTPUTS
    from SlicerVAELib.core.volume import Modality, Volume

    from ..apply import reconstruct_file
    from ..console import cancel_on_interrupt, progress_bar
    from .named import named

    channels = {name: Path(file) for name, file in named(options.channel, "file").items()}
    read_manifest(options.bundle)  # a wrong bundle is told before a large input is read

    def request_for(volume: Volume) -> ReconstructRequest:
        return ReconstructRequest(
            bundle=options.bundle,
            volume=volume,
            outputs=OUTPUTS,
            anomaly=anomaly_of(options),
            sample_seed=options.sample_seed,
            hardware=hardware_of(options),
            override=options.override,
        )

    with progress_bar("Reconstructing") as listener, cancel_on_interrupt("Stopped; nothing was written.") as cancel:
        summary = reconstruct_file(
            LocalEngine(),
            request_for,
            options.input,
            options.out,
            series=options.series,
            frame=options.frame,
            modality=Modality(options.modality) if options.modality else None,
            structures=options.structures,
            structure_names=options.structure_names,
            channels=channels,
            listener=listener,
            cancel=cancel,
        )
    for notice in summary["notices"]:
        sys.stderr.write(f"Note: {notice}\n")
    seconds = sum(summary["timings_s"].values())
    sys.stdout.write(
        f"Wrote {', '.join(sorted(p.name for p in options.out.iterdir()))} to {options.out} ({seconds:.1f} s).\n"
    )
