"""The rank of the other visit of the same patient among all scans of a sequence."""

from pathlib import Path

import numpy as np

from SlicerVAELib.core.engine import EncodeRequest
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.core.patient_similarity import PatientMatch, compare
from SlicerVAELib.core.patient_stacks import SliceStack
from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.core.similarity import Posteriors
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.read import read_volume

from .figure import Figure

LEAST_SCANS = 4


def measure(bundle: Path, folder: Path, listener: Listener, cancel: Cancel) -> list[Figure]:
    """Ranks for each sequence of which ``folder`` has enough scans, ``folder/*/study*_SEQUENCE.nii.gz``.

    Raises UserError where there are none, or the model takes no MR, Cancelled.
    """
    scans: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/study*_*.nii.gz")):
        scans.setdefault(path.name.removesuffix(".nii.gz").partition("_")[2], []).append(path)
    scans = {sequence: paths for sequence, paths in scans.items() if len(paths) >= LEAST_SCANS}
    if not scans:
        raise UserError(f"{folder} holds no {LEAST_SCANS} scans */study*_FLAIR.nii.gz; give the folder that has them.")
    engine = LocalEngine()
    meter = Meter(listener, "encoding repeat scans", sum(map(len, scans.values())))
    figures = []
    for sequence, paths in scans.items():
        stacks = []
        for path in paths:
            cancel.check()
            found = engine.encode(EncodeRequest(bundle, read_volume(path, modality=Modality.MR)), cancel=cancel)
            posteriors = Posteriors(found.mean, found.log_variance)
            stacks.append(SliceStack(posteriors, found.positions_mm, found.position_origin))
            meter.advance(1)
        table = np.array([[_distance(here, there) for there in stacks] for here in stacks])
        ranks = ranks_of_own(table, [path.parent.name for path in paths])
        what = f"{bundle.name}, {sequence}: the other visit of a patient among {len(paths) - 1} scans"
        figures += [
            Figure(f"{what}: found first, of {len(ranks)}", float((ranks == 1).sum())),
            Figure(f"{what}: median rank", float(np.median(ranks))),
            Figure(f"{what}: worst rank", float(ranks.max())),
        ]
    return figures


def ranks_of_own(table: np.ndarray, owners: list[str]) -> np.ndarray:
    """For each scan (row) that has another of the same owner the rank, from 1, of the nearest of these among all
    others."""
    names = np.array(owners)
    ranks = []
    for n, row in enumerate(table):
        others = np.arange(len(row)) != n
        own = others & (names == names[n])
        if own.any():
            ranks.append(1 + int((row[others] < row[own].min()).sum()))
    return np.array(ranks)


def _distance(here: SliceStack, there: SliceStack) -> float:
    match = compare(here, there)
    return match.distance if isinstance(match, PatientMatch) else float("inf")
