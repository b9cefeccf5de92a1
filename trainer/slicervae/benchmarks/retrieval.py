"""Whether the nearest posterior is the right patient's: the sources' experiment, on phantoms and on repeat scans.

The sources trained on slice 1 of each patient and encoded slice 3: was the nearest stored posterior that of the same
patient? Here slice 1 is the middle one of a phantom and slice 3 two further to the head. As the anatomy of phantoms is
known, the divergence between patients is also held against how unlike they are in truth. Beside it stand baselines.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn.decomposition import PCA

from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.engine import EncodeRequest
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.measures import posterior_of
from SlicerVAELib.core.patient_similarity import PatientMatch, compare
from SlicerVAELib.core.patient_stacks import SliceStack
from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.core.similarity import Direction, Posteriors, divergences
from SlicerVAELib.core.stack import prepare
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.read import read_volume

from ..phantom import HEALTHY, make_patient
from .figure import Figure

SEED = 41_107  # of phantoms
APART = 2  # slices 1 and 3
COMPONENTS = 50
DIRECTIONS: tuple[Direction, ...] = ("kl", "reverse-kl", "symmetric-kl")
# What is no anatomy: of the scanner, of how the patient lies, and of the treatment.
_NO_ANATOMY = ("noise", "calibration", "table", "shift", "roll", "ptv", "prescription", "fractions", "lesion", "_z_mm")


@dataclasses.dataclass(frozen=True, eq=False)
class Slices:
    """Slice 1 and slice 3 of N patients: posteriors, pixels (N, P) in [0, 1], and the anatomy (N, A), standardised."""

    first: Posteriors
    third: Posteriors
    first_pixels: np.ndarray
    third_pixels: np.ndarray
    anatomy: np.ndarray


def phantoms(bundle: Path, patients: int, size: int, slices: int, listener: Listener, cancel: Cancel) -> list[Figure]:
    """Figures of a thorax CT model on so many phantoms. Raises UserError for a model without posteriors, Cancelled."""
    encoded = encode_phantoms(bundle, patients, size, slices, listener, cancel)
    distances = distances_from(encoded.third, encoded.third_pixels, encoded)
    among_first = distances_from(encoded.first, encoded.first_pixels, encoded)
    truth = _euclidean(encoded.anatomy, encoded.anatomy)
    figures = []
    for name, table in distances.items():
        target = 0.95 if name in ("kl", "reverse-kl") else None
        what = f"{name}: slice 3 of a phantom finds slice 1 of the same among {patients}"
        figures.append(Figure(what, top_1(table), "", target, "at least"))
    for name, table in among_first.items():
        what = f"{name}: rank correlation with the distance of the true anatomy"
        figures.append(Figure(what, rank_correlation(table, truth)))
    return figures


def distances_from(queries: Posteriors, pixels: np.ndarray, stored: Slices) -> dict[str, np.ndarray]:
    """Distances (N, N) from the queries, whose pixels are (N, P), to each patient's slice 1, by name of the measure."""
    components = PCA(min(COMPONENTS, len(stored.first_pixels) - 1), random_state=0).fit(stored.first_pixels)
    return {
        **{direction: divergences(queries, stored.first, direction) for direction in DIRECTIONS},
        "mean-vector L2": _euclidean(queries.mean, stored.first.mean),
        "pixel MSE": _euclidean(pixels, stored.first_pixels),
        f"PCA-{COMPONENTS}": _euclidean(components.transform(pixels), components.transform(stored.first_pixels)),
    }


def encode_phantoms(bundle: Path, patients: int, size: int, slices: int, listener: Listener, cancel: Cancel) -> Slices:
    """Draw healthy phantoms and encode the two slices of each, as ``add`` encodes: the body only."""
    manifest = read_manifest(bundle)
    network = load_network(bundle, manifest)
    if network.latent.kind != "gaussian":
        raise UserError(f"{manifest.title} gives no Gaussian posteriors; choose a variational model.")
    preprocessing = dataclasses.replace(manifest.preprocessing, body_only=True)
    meter = Meter(listener, "encoding phantoms", patients)
    images, parameters = [], []
    for number in range(1, patients + 1):
        cancel.check()
        patient = make_patient(SEED, number, size=size, slices=slices, lesions=HEALTHY, cancel=cancel)
        stack = prepare(patient.volume, preprocessing).images
        middle = len(stack) // 2
        images.append(stack[[middle, middle + APART]])
        parameters.append(patient.parameters)
        meter.advance(1)
    pairs = torch.stack(images)
    with torch.no_grad():
        first, third = (_posteriors(posterior_of(network.encode(pairs[:, n]))) for n in range(2))
    first_pixels, third_pixels = (pairs[:, n].flatten(1).numpy() for n in range(2))
    return Slices(first, third, first_pixels, third_pixels, standardised_anatomy(parameters))


def standardised_anatomy(parameters: list[dict[str, float | str]]) -> np.ndarray:
    """The anatomical numbers of patients that differ between them, each with mean 0 and deviation 1, float64 (N, A)."""
    names = [
        name
        for name, value in parameters[0].items()
        if isinstance(value, int | float) and not any(word in name for word in _NO_ANATOMY)
    ]
    values = np.array([[float(each[name]) for name in names] for each in parameters])
    values = values[:, values.std(axis=0) > 0]
    return (values - values.mean(axis=0)) / values.std(axis=0)


def repeat_scans(bundle: Path, folder: Path, sequence: str, listener: Listener, cancel: Cancel) -> list[Figure]:
    """The rank of the other visit of the same patient among all scans of a sequence (``folder/*/study*_FLAIR.nii.gz``).

    Raises UserError where there are none, or the model takes no MR, Cancelled.
    """
    paths = sorted(folder.glob(f"*/study*_{sequence}.nii.gz"))
    if len(paths) < 4:
        raise UserError(f"{folder} holds {len(paths)} scans */study*_{sequence}.nii.gz; give the folder that has them.")
    engine = LocalEngine()
    meter = Meter(listener, "encoding repeat scans", len(paths))
    stacks = []
    for path in paths:
        cancel.check()
        found = engine.encode(EncodeRequest(bundle, read_volume(path, modality=Modality.MR)), cancel=cancel)
        stacks.append(SliceStack(Posteriors(found.mean, found.log_variance), found.positions_mm, found.position_origin))
        meter.advance(1)
    table = np.array([[_distance(here, there) for there in stacks] for here in stacks])
    ranks = ranks_of_own(table, [path.parent.name for path in paths])
    what = f"the other visit of the same patient among {len(paths) - 1} {sequence} scans"
    return [
        Figure(f"{what}: found first", float((ranks == 1).mean())),
        Figure(f"{what}: median rank", float(np.median(ranks))),
        Figure(f"{what}: worst rank", float(ranks.max())),
    ]


def top_1(table: np.ndarray) -> float:
    """Share of queries n (rows) whose nearest stored patient (column) is n."""
    return float((table.argmin(axis=1) == np.arange(len(table))).mean())


def rank_correlation(table: np.ndarray, truth: np.ndarray) -> float:
    """Spearman's rank correlation of two tables of distances (N, N) over all pairs of different patients, of which a
    divergence has one for each order."""
    pairs = ~np.eye(len(table), dtype=bool)
    return float(stats.spearmanr(table[pairs], truth[pairs]).statistic)


def ranks_of_own(table: np.ndarray, owners: list[str]) -> np.ndarray:
    """For each scan (row) the rank, from 1, of the nearest other scan of the same owner among all others."""
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


def _posteriors(posterior: DiagonalGaussian) -> Posteriors:
    return Posteriors(posterior.mean.flatten(1).numpy(), posterior.log_variance.flatten(1).numpy())


def _euclidean(queries: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs, float64 (N, M); the ranking by mean squared error is the same."""
    return torch.cdist(torch.as_tensor(queries).double(), torch.as_tensor(stored).double()).numpy()
