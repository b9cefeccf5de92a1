"""Reconstruction quality of a model on volumes it was not trained on: mean squared error and MS-SSIM.

Both are taken in the model's space, over the slices that hold anything. Writes metrics.json."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="model folder that 'slicervae export' wrote")
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="folder of patients, or dicomweb+http://…/studies/UID"
    )
    parser.add_argument("--include", action="append", default=[], metavar="PATTERN", help="only volumes like this")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="no volumes like this")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")


def run(options: argparse.Namespace) -> None:
    """Evaluate on every volume found."""
    import dataclasses

    from SlicerVAELib.core.bundle import load_network
    from SlicerVAELib.core.declaration import check
    from SlicerVAELib.core.manifest import read_manifest
    from SlicerVAELib.core.progress import Meter
    from SlicerVAELib.io.dicomweb import local_copy
    from SlicerVAELib.io.discover import discover
    from SlicerVAELib.io.write import OutputFolder, write_json_atomically

    from ..console import cancel_on_interrupt, progress_bar
    from ..evaluation.quality import quality

    manifest = read_manifest(options.bundle)
    network = load_network(options.bundle, manifest)
    rows = []
    with (
        progress_bar("Evaluating") as listener,
        cancel_on_interrupt("Stopped; nothing was written.") as cancel,
        local_copy(options.data, cancel=cancel) as data,
    ):
        found = discover(data, include=options.include, exclude=options.exclude, cancel=cancel)
        meter = Meter(listener, "reconstructing", len(found))
        for item in found:
            cancel.check()
            volume = item.read()
            check(volume, manifest.declaration, manifest.title)
            figures = quality(network, manifest.preprocessing, [volume])
            rows.append({"patient": item.patient, "path": str(item.path), **dataclasses.asdict(figures)})
            meter.advance(1)
    with OutputFolder(options.out) as folder:
        content = {"bundle": manifest.title, "bundle_sha256": manifest.checksum, "volumes": rows}
        write_json_atomically(folder / "metrics.json", content)
    for row in rows:
        sys.stdout.write(
            f"{row['patient']}: mean squared error {row['mse']:.5f}, MS-SSIM {row['ms_ssim']:.4f} "
            f"({row['ms_ssim_scales']} scales), {row['slices']} slices\n"
        )
