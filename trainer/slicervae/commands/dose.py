"""Dose to the structures of a planned patient: the plan, and of each structure its volume and dose statistics.

Takes the approved plan of the folder, with the structure set and the dose that it refers to; where several may be
meant it lists them, and --plan, --structures and --dose choose. Doses are never summed. With --out it writes dose.json,
dvh.csv and dvh.png. Figures are of the part of a structure that the dose grid covers, whose share is told."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("data", metavar="DIR", help="DICOM folder of one patient, or dicomweb+http://…/studies/UID")
    parser.add_argument("--series", help="which image series: its UID, the end of it, or its number")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="the RTPLAN file to take")
    parser.add_argument("--structures", type=Path, metavar="FILE", help="the RTSTRUCT file, or a label map, to take")
    parser.add_argument("--dose", type=Path, metavar="FILE", help="the RTDOSE file to take")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write dose.json, dvh.csv and dvh.png into")


def run(options: argparse.Namespace) -> None:
    """Tell, and write."""
    from SlicerVAELib.core.errors import UserError
    from SlicerVAELib.io.dicomweb import local_copy
    from SlicerVAELib.io.treatment import read_treatment
    from SlicerVAELib.io.write import OutputFolder, write_json_atomically

    from ..dosimetry import dosimetry_of
    from ..pictures import dvh_curves

    with local_copy(options.data) as folder:
        treatment = read_treatment(
            folder, series=options.series, structure_set=options.structures, plan=options.plan, dose=options.dose
        )
    if not treatment.volume.masks:
        raise UserError(f"There are no structures of {options.data}; give the structure set with --structures.")
    told = dosimetry_of(treatment)
    if options.out is not None:
        with OutputFolder(options.out) as out:
            write_json_atomically(out / "dose.json", told.facts())
            (out / "dvh.csv").write_text(told.curves_as_csv(), encoding="utf-8")
            (out / "dvh.png").write_bytes(dvh_curves(told.curves()))
    for notice in told.notices:
        sys.stderr.write(f"Note: {notice}\n")
    sys.stdout.write(told.table())
    if options.out is not None:
        sys.stdout.write(f"Wrote dose.json, dvh.csv and dvh.png to {options.out}.\n")
