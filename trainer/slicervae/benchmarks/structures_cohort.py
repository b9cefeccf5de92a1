"""Phantom patients as slices of CT and structures, made once and kept in a folder."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from SlicerVAELib.core.preprocessing import Preprocessing
from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.core.stack import prepare
from SlicerVAELib.io.write import write_bytes_atomically

from ..data.batch import Batch
from ..phantom import PHANTOM_VERSION, LesionPolicy, make_patient


@dataclasses.dataclass(frozen=True)
class CohortSettings:
    """Which phantoms, and how they become slices of ``preprocessing``.

    The first ``training`` patients train, the next ``validation`` choose the best weights, and the next ``test`` are
    what the results are of. A slice takes part when each lung covers at least ``lung_share`` of it, and of those one in
    ``every``.
    """

    preprocessing: Preprocessing
    training: int = 240
    validation: int = 20
    test: int = 40
    seed: int = 2018
    phantom_size: int = 160
    phantom_slices: int = 40
    lung_share: float = 0.02
    every: int = 2
    phantom_version: str = PHANTOM_VERSION

    @property
    def patients(self) -> int:
        """How many there are."""
        return self.training + self.validation + self.test


@dataclasses.dataclass(frozen=True, eq=False)
class ClassImages:
    """Images (N, C, H, W) of any real type in [0, 1] and classes (N, H, W) below ``count``, in memory.

    It gives batches of the images followed by one channel for each class, eight times as large.
    """

    images: torch.Tensor
    classes: torch.Tensor
    count: int

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: torch.Tensor) -> Batch:
        """The images of some numbers (n,), float32 (n, C + count, H, W)."""
        ones = torch.nn.functional.one_hot(self.classes[indices].long(), self.count).movedim(-1, 1)
        return Batch(torch.cat([self.images[indices].float(), ones.float()], dim=1))


def make_cohort(folder: Path, settings: CohortSettings, listener: Listener, cancel: Cancel) -> None:
    """Write the patients that are not yet in ``folder``. Raises UserError and Cancelled; the finished ones stay."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(1, settings.patients + 1) if not _file(folder, number).is_file()]
    meter = Meter(listener, "making phantom patients", len(missing))
    size, slices, healthy = settings.phantom_size, settings.phantom_slices, LesionPolicy(0.0)
    for number in missing:
        patient = make_patient(settings.seed, number, size=size, slices=slices, lesions=healthy, cancel=cancel)
        pixels = prepare(patient.volume, settings.preprocessing).pixels
        structures = settings.preprocessing.structures
        lungs = [1 + structures.index(name) for name in ("Lung_L", "Lung_R")]
        thoracic = (pixels[:, lungs].mean(dim=(2, 3)) >= settings.lung_share).all(dim=1)
        chosen = pixels[thoracic][:: settings.every]
        packed = io.BytesIO()
        images, classes = chosen[:, :1].numpy().astype(np.float16), chosen[:, 1:].argmax(dim=1).numpy().astype(np.uint8)
        np.savez_compressed(packed, images=images, classes=classes)
        write_bytes_atomically(_file(folder, number), packed.getvalue())
        meter.advance(1)


def read_patients(folder: Path, numbers: Sequence[int], count: int) -> ClassImages:
    """The slices of some patients, one after the other; ``count`` classes."""
    images, classes = [], []
    for number in numbers:
        with np.load(_file(folder, number)) as packed:
            images.append(torch.from_numpy(packed["images"]))
            classes.append(torch.from_numpy(packed["classes"]))
    return ClassImages(torch.cat(images), torch.cat(classes), count)


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.npz"
