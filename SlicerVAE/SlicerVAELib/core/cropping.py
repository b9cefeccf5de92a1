"""A volume's slices from one to another, for a model that need not see them all, and its answer on the whole grid."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from .volume import Geometry, Volume

if TYPE_CHECKING:
    from .engine import Reconstruction


@dataclasses.dataclass(frozen=True)
class SliceRange:
    """The slices ``first`` to ``last``, both included and counted from 0, along ``axis`` of the array (K, J, I)."""

    axis: int
    first: int
    last: int

    @property
    def index(self) -> tuple[slice, slice, slice]:
        """What it takes of an array (K, J, I)."""
        part = [slice(None)] * 3
        part[self.axis] = slice(self.first, self.last + 1)
        return part[0], part[1], part[2]

    def is_whole(self, geometry: Geometry) -> bool:
        """Whether nothing is left out of a grid."""
        return self.first <= 0 and self.last >= geometry.shape[self.axis] - 1


def crop(volume: Volume, slices: SliceRange) -> Volume:
    """The volume's ``slices``, where they lie in the patient; arrays are views on the volume's own."""
    array = volume.array[slices.index]
    matrix = volume.geometry.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 2 - slices.axis] * slices.first
    return volume.replace(
        array=array,
        geometry=Geometry(array.shape, matrix),
        masks={name: mask[slices.index] for name, mask in volume.masks.items()},
        channels={name: channel[slices.index] for name, channel in volume.channels.items()},
    )


def uncrop(result: "Reconstruction", volume: Volume, slices: SliceRange) -> "Reconstruction":
    """The answer for ``crop(volume, slices)`` on the grid of ``volume``, with the other slices marked as not seen."""
    arrays = {}
    for name, part in result.arrays.items():
        arrays[name] = np.full(volume.array.shape, _not_seen(name, result), dtype=part.dtype)
        arrays[name][slices.index] = part
    return dataclasses.replace(result, arrays=arrays)


def _not_seen(output: str, result: "Reconstruction") -> float:
    """What ``core.engine`` puts into an output where the model saw nothing."""
    kind = output.partition(" ")[0]
    return {"reconstruction": result.window[0], "anomaly": result.anomaly_not_seen}.get(kind, 0.0)
