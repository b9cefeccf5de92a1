"""Images of the cache's entries as one source, read when they are asked for."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from .batch import Batch
from .cache import Prepared, open_images

MOST_OPEN = 256  # every mapped file holds a descriptor, of which a process has a thousand or so


class MappedImages:
    """The images of some entries, one after another; may be larger than memory. Keeps the protocol of ImageSource."""

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = tuple(places)
        self._open = functools.lru_cache(MOST_OPEN)(open_images)
        shapes, self._has_masks = [], False
        for place in self._places:
            entry = self._open(place)
            shapes.append(entry.images.shape)
            self._has_masks |= entry.kept is not None
        self._ends = np.cumsum([shape[0] for shape in shapes], dtype=np.int64)
        self._shape = shapes[0][1:] if shapes else ()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def batch(self, indices: torch.Tensor) -> Batch:
        """The images of some numbers (n,). Raises UserError when an entry is not there any more."""
        numbers = indices.numpy()
        images = np.empty((len(numbers), *self._shape), dtype=np.float32)
        kept = np.ones((len(numbers), 1, *self._shape[1:]), dtype=np.float32) if self._has_masks else None
        owners = np.searchsorted(self._ends, numbers, side="right")
        for owner in np.unique(owners):
            entry: Prepared = self._open(self._places[owner])
            rows = np.flatnonzero(owners == owner)
            inside = numbers[rows] - (self._ends[owner] - len(entry.images))
            for row, index in zip(rows, inside, strict=True):
                images[row] = entry.images[index]
                if kept is not None and entry.kept is not None:
                    kept[row] = entry.kept[index]
        return Batch(torch.from_numpy(images), None if kept is None else torch.from_numpy(kept))
