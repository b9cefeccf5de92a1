"""A dose on the grid of an image, and how much of each structure it covers."""

from collections.abc import Mapping

import numpy as np

from .errors import UserError
from .volume import Geometry, Modality, Volume

_ROUNDING = 0.01  # voxels beyond the outermost dose points that are still rounding of the positions in the files


def dose_on(dose: Volume, grid: Geometry) -> np.ndarray:
    """The dose at the voxel centres of ``grid``: gray, float32 (K, J, I).

    Between the points of the dose grid the dose is trilinear; outside of them it is NaN, never extrapolated. Raises
    UserError when ``dose`` is not a dose.
    """
    check_is_dose(dose)
    # core.resampling averages over coarse voxels; planning systems give the dose at points, and so does this.
    index_map = np.linalg.inv(dose.geometry.ijk_to_ras) @ grid.ijk_to_ras
    values = np.ascontiguousarray(dose.array, dtype=np.float32).ravel()
    result = np.full(grid.shape, np.nan, dtype=np.float32)
    for k, plane in enumerate(result):  # a slice at a time, so that positions stay in the processor's cache
        _fill_plane(plane, values, index_map, k, dose.geometry.shape)
    return result


def check_is_dose(volume: Volume) -> None:
    """Raise UserError when the volume is not a dose."""
    if volume.modality is not Modality.DOSE:
        name = volume.source.path or volume.source.name or "The volume"
        raise UserError(f"{name} is not a dose; give an RTDOSE file.")


def _fill_plane(plane: np.ndarray, values: np.ndarray, index_map: np.ndarray, k: int, shape: tuple[int, ...]) -> None:
    """Put the dose of slice ``k`` into ``plane`` (J, I); ``values`` of ``shape`` (K, J, I) are flat."""
    rows, columns = np.arange(plane.shape[0])[:, None], np.arange(plane.shape[1])
    positions = [of_i * columns + (of_j * rows + (of_k * k + offset)) for of_i, of_j, of_k, offset in index_map[:3]]
    sizes = shape[::-1]
    inside = np.ones(plane.shape, dtype=bool)
    for position, size in zip(positions, sizes, strict=True):
        inside &= (position >= -_ROUNDING) & (position <= size - 1 + _ROUNDING)
    corner = np.zeros(np.count_nonzero(inside), dtype=np.intp)  # the neighbour at the lower i, j and k
    axes = []
    for position, size, stride in zip(positions, sizes, (1, sizes[0], sizes[0] * sizes[1]), strict=True):
        place = np.clip(position[inside], 0, size - 1)
        lower = np.minimum(place.astype(np.intp), max(size - 2, 0))
        corner += lower * stride
        axes.append(((place - lower).astype(np.float32), stride if size > 1 else 0))
    plane[inside] = _interpolated(values, corner, axes)


def _interpolated(values: np.ndarray, corner: np.ndarray, axes: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """Linear interpolation along each of ``axes``, given as the weight of the upper neighbour and how far behind the
    lower one it lies in ``values``."""
    if not axes:
        return values[corner]
    *others, (weight, stride) = axes
    low, high = _interpolated(values, corner, others), _interpolated(values, corner + stride, others)
    return low + weight * (high - low)


def covered_shares(dose: np.ndarray, masks: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The share, 0 to 1, of each structure's voxels that have a dose in ``dose`` as given by ``dose_on``; 0 for a mask
    without voxels."""
    has_dose = np.isfinite(dose)
    shares = {}
    for name, mask in masks.items():
        voxels = int(np.count_nonzero(mask))
        shares[name] = int(np.count_nonzero(has_dose & mask)) / voxels if voxels else 0.0
    return shares
