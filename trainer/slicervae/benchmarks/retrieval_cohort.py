"""Phantoms as a model's posteriors and as its pixels, slice by slice, and how unlike their true anatomies are."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from SlicerVAELib.core.body_position import body_origin
from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.measures import posterior_of
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.patient_stacks import SliceStack
from SlicerVAELib.core.preprocessing import Preprocessing
from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.core.similarity import Posteriors
from SlicerVAELib.core.stack import body_in, prepare
from SlicerVAELib.core.volume import Volume

from ..phantom import HEALTHY, make_patient

SEED = 41_107  # of phantoms
AT_ONCE = 32  # slices
# What is no anatomy: of the scanner, of how the patient lies, and of the treatment.
_NO_ANATOMY = ("noise", "calibration", "table", "shift", "roll", "ptv", "prescription", "fractions", "lesion", "_z_mm")


@dataclasses.dataclass(frozen=True, eq=False)
class Phantoms:
    """Volumes of N phantoms, and their anatomy (N, A), each number with mean 0 and deviation 1."""

    volumes: tuple[Volume, ...]
    anatomy: np.ndarray

    @property
    def step_mm(self) -> float:
        """From slice to slice."""
        return float(self.volumes[0].geometry.spacing[2])


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """The slices of a phantom as a model takes them, the body only: (K, C, H, W) in [0, 1], with the body positions of
    SliceStack."""

    images: torch.Tensor
    positions_mm: np.ndarray
    origin: str

    def encoded(self, network: Network) -> SliceStack:
        """Their posteriors."""
        with torch.no_grad():
            posteriors = [posterior_of(network.encode(part)) for part in self.images.split(AT_ONCE)]
        mean, log_variance = (
            np.concatenate([getattr(part, name).flatten(1).numpy() for part in posteriors])
            for name in ("mean", "log_variance")
        )
        return SliceStack(Posteriors(mean, log_variance), self.positions_mm, self.origin)

    @property
    def pixels(self) -> np.ndarray:
        """(K, P) float32."""
        return self.images.flatten(1).numpy()


def draw(patients: int, size: int, slices: int, listener: Listener, cancel: Cancel) -> Phantoms:
    """Healthy phantoms of so many pixels a side and slices. Raises UserError and Cancelled."""
    meter = Meter(listener, "drawing phantoms", patients)
    volumes, parameters = [], []
    for number in range(1, patients + 1):
        cancel.check()
        patient = make_patient(SEED, number, size=size, slices=slices, lesions=HEALTHY, cancel=cancel)
        volumes.append(patient.volume.replace(masks={}))
        parameters.append(patient.parameters)
        meter.advance(1)
    return Phantoms(tuple(volumes), standardised_anatomy(parameters))


def gaussian_model(bundle: Path) -> tuple[str, Preprocessing, Network]:
    """Title, preprocessing and network of a bundle. Raises UserError for a model without Gaussian posteriors."""
    manifest = read_manifest(bundle)
    network = load_network(bundle, manifest)
    if network.latent.kind != "gaussian":
        raise UserError(f"{manifest.title} gives no Gaussian posteriors; choose a variational model.")
    return manifest.name, manifest.preprocessing, network


def prepared(phantoms: Phantoms, preprocessing: Preprocessing, listener: Listener, cancel: Cancel) -> list[Prepared]:
    """The phantoms as ``slicervae library add`` shows them to a model. Raises Cancelled."""
    meter = Meter(listener, "preparing phantoms", len(phantoms.volumes))
    found = []
    for volume in phantoms.volumes:
        cancel.check()
        stack = prepare(volume, dataclasses.replace(preprocessing, body_only=True))
        origin = body_origin(volume, body_in(stack, volume))
        grid = stack.geometry.ijk_to_ras
        heights = grid[2, 3] + grid[2, 2] * np.arange(len(stack.images))
        found.append(Prepared(stack.images, origin.positions(heights), origin.landmark))
        meter.advance(1)
    return found


def standardised_anatomy(parameters: Sequence[dict[str, float | str]]) -> np.ndarray:
    """The anatomical numbers of patients that differ between them, each with mean 0 and deviation 1, float64 (N, A)."""
    names = [
        name
        for name, value in parameters[0].items()
        if isinstance(value, int | float) and not any(word in name for word in _NO_ANATOMY)
    ]
    values = np.array([[float(each[name]) for name in names] for each in parameters])
    values = values[:, values.std(axis=0) > 0]
    return (values - values.mean(axis=0)) / values.std(axis=0)
