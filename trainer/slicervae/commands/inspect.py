"""List what a folder of patients, or a study on a DICOMweb server, holds and what a training would see of it.

Patients, volumes, structure sets, doses and plans; what is left out and why; and doubts to look into: one patient under
two identifiers, missing slices, images that are there twice, values that no CT has. Run it before training. Only
volumes that can be read count; a modality with a question mark was told from the values. Nothing is changed.

DIR may be an address, dicomweb+https://HOST:PORT/PATH/studies/UID: the study is fetched into a temporary folder, which
is removed afterwards."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("data", metavar="DIR", help="folder of patients, or the address of a study or series")
    parser.add_argument("--json", action="store_true", help="for programs: findings as JSON instead of a table")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--html", type=Path, metavar="FILE", help="also write a page with pictures of every volume")
    where.add_argument("--out", type=Path, metavar="DIR", help="new folder for inspection.html and inspection.json")
    parser.add_argument("--no-pixels", action="store_true", help="read headers only: fast, without values and pictures")


def run(options: argparse.Namespace) -> None:
    """Inspect, and tell."""
    from SlicerVAELib.core.progress import part_of
    from SlicerVAELib.io.dicomweb import local_copy
    from SlicerVAELib.io.dicomweb_address import is_address
    from SlicerVAELib.io.write import OutputFolder, write_bytes_atomically

    from ..console import cancel_on_interrupt, progress_bar
    from ..inspection import inspect
    from ..inspection.page import to_page
    from ..inspection.table import to_table

    wants_page = options.html is not None or options.out is not None
    share = 0.5 if is_address(options.data) else 0.0
    with (
        progress_bar("Inspecting") as listener,
        cancel_on_interrupt("Stopped; nothing was written.") as cancel,
        local_copy(options.data, progress=part_of(listener, 0, share), cancel=cancel) as folder,
    ):
        inspection = inspect(
            folder,
            called=options.data,
            pixels=not options.no_pixels,
            thumbnails=wants_page,
            progress=part_of(listener, share, 1),
            cancel=cancel,
        )
    if options.html is not None:
        write_bytes_atomically(options.html, to_page(inspection).encode())
    if options.out is not None:
        with OutputFolder(options.out) as out:
            (out / "inspection.html").write_text(to_page(inspection), encoding="utf-8")
            (out / "inspection.json").write_text(inspection.to_json(), encoding="utf-8")
    sys.stdout.write(inspection.to_json() if options.json else to_table(inspection))
    written = options.html or (options.out and options.out / "inspection.html")
    if written:
        sys.stderr.write(f"Wrote {written}; it shows patients: keep it where patient data may be kept.\n")
