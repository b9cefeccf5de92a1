"""Write a cohort of phantom patients as real DICOM: CT series, structure set, plan and dose.

The patients are procedural: a thorax whose anatomy varies from patient to patient as published anatomy says, with a
nodule or a pleural effusion in some of them. The same seed gives the same files, and patient 7 is the same in a cohort
of 10 and of 100; so an interrupted cohort is completed, or a small one enlarged, by the same command.

DIR gets one folder a patient, parameters.csv with the true anatomy, and truth/ with the masks of the lesions.
"""

import argparse
import sys
from pathlib import Path

from slicervae.console import progress_bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--patients", type=int, required=True, metavar="N", help="how many patients")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write them to")
    parser.add_argument("--seed", type=int, required=True, metavar="S", help="number that the cohort follows from")
    parser.add_argument("--size", type=int, default=128, help="pixels a side of a slice")
    parser.add_argument("--slices", type=int, default=40, help="slices of a CT")
    parser.add_argument(
        "--lesions", type=float, default=1 / 3, metavar="SHARE", help="share of patients with a lesion; 0 for none"
    )


def run(options: argparse.Namespace) -> None:
    """Write the cohort and say where it is."""
    from slicervae.phantom import write_cohort

    with progress_bar("phantom") as progress:
        write_cohort(
            options.out,
            patients=options.patients,
            seed=options.seed,
            size=options.size,
            slices=options.slices,
            lesion_share=options.lesions,
            progress=progress,
        )
    sys.stdout.write(
        f"{options.patients} phantom patients are in {options.out}; train on them with "
        f"'slicervae fit vae50 --data {options.out} --out RUN'.\n"
    )
