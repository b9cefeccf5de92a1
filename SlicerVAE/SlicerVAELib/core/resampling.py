"""Linear resampling between two grids in the patient.

Grids whose axes agree up to order and sign, which is nearly every clinical image, are resampled one axis after the
other with small matrices, in slabs; oblique ones by trilinear interpolation. Where the target is coarser than the
source, the source is averaged over the target's voxel, so that noise and fine structures do not alias.
"""

import dataclasses
import re
import warnings
from collections.abc import Callable

import numpy as np
import torch

from .volume import Geometry

ALIGNED_WITHIN_VOXELS = 0.05  # below this, calling two axes parallel moves no voxel visibly
SLAB_ELEMENTS = 1 << 21  # elements of a slab: a few MB, so that a slab stays in the processor's cache

Transform = Callable[[torch.Tensor], torch.Tensor]

# Read-only arrays come from whoever guards their input; nothing here writes into a tensor of it.
warnings.filterwarnings("ignore", "The given NumPy array is not writable", module=re.escape(__name__))


def resample(
    array: np.ndarray, source: Geometry, target: Geometry, *, fill: float, transform: Transform | None = None
) -> torch.Tensor:
    """Resample ``array`` (K, J, I) from ``source`` to ``target``; returns float32 of the target's shape.

    ``transform`` is applied to the source's values, as float32, before they are interpolated. Target voxels whose
    centre lies outside the source's extent get ``fill``.
    """
    pixels = as_tensor(array)
    index_map = np.linalg.inv(source.ijk_to_ras) @ target.ijk_to_ras
    axes = _axis_maps(index_map, target.shape)
    if axes is None:
        return _resample_oblique(pixels, index_map, target.shape, fill, transform)
    return _resample_aligned(pixels, axes, source.shape, target.shape, fill, transform)


def coverage(source: Geometry, target: Geometry) -> np.ndarray:
    """Boolean array of the target's shape: where the centre of a target voxel lies within the source's extent."""
    index_map = np.linalg.inv(source.ijk_to_ras) @ target.ijk_to_ras
    axes = _axis_maps(index_map, target.shape)
    if axes is not None:
        k, j, i = (
            _inside(axis.positions(n), source.shape[axis.source]) for axis, n in zip(axes, target.shape, strict=True)
        )
        return k[:, None, None] & j[None, :, None] & i[None, None, :]
    inside = np.empty(target.shape, dtype=bool)
    for row in range(target.shape[0]):
        within = [
            _inside(_positions(index_map[axis], target.shape, range(row, row + 1)), count)
            for axis, count in enumerate(source.shape[::-1])
        ]
        inside[row] = np.logical_and.reduce(within)[0]
    return inside


@dataclasses.dataclass(frozen=True)
class _AxisMap:
    """One target axis: the source axis it runs along (0, 1, 2 = K, J, I) and index → scale·index + offset."""

    source: int
    scale: float
    offset: float

    def positions(self, count: int) -> np.ndarray:
        return self.scale * np.arange(count) + self.offset

    def weights(self, count: int, source_count: int) -> torch.Tensor:
        """Matrix (count, source_count) of a triangle as wide as the coarser of both grids; zero rows outside."""
        positions = self.positions(count)
        width = max(1.0, abs(self.scale))
        clamped = np.clip(positions, 0, source_count - 1)
        distance = np.abs(clamped[:, None] - np.arange(source_count)[None, :]) / width
        weights = np.clip(1 - distance, 0, None)
        weights /= weights.sum(axis=1, keepdims=True)
        weights[~_inside(positions, source_count)] = 0
        return torch.from_numpy(weights.astype(np.float32))


def _inside(positions: np.ndarray, count: int) -> np.ndarray:
    return (positions >= -0.5 - 1e-6) & (positions <= count - 0.5 + 1e-6)


def _axis_maps(index_map: np.ndarray, target_shape: tuple[int, int, int]) -> tuple[_AxisMap, _AxisMap, _AxisMap] | None:
    """The maps of the target's K, J, I when its axes run along the source's, else None."""
    linear = index_map[:3, :3]
    reach = np.abs(linear) * np.array(target_shape[::-1])[None, :]
    rows = reach.argmax(axis=0)
    if len(set(rows)) != 3:
        return None
    stray = reach.copy()
    stray[rows, range(3)] = 0
    if stray.max() > ALIGNED_WITHIN_VOXELS:
        return None
    # The stray terms are dropped; what they are worth at the centre goes into the offset.
    middle = (np.array(target_shape[::-1]) - 1) / 2
    centre = linear @ middle + index_map[:3, 3]
    maps = [
        _AxisMap(2 - row, _snapped(linear[row, a]), _snapped(centre[row] - linear[row, a] * middle[a]))
        for a, row in enumerate(rows)
    ]
    return maps[2], maps[1], maps[0]


def _snapped(value: float) -> float:
    # An inverted matrix leaves 1.0000000002 where 1 is meant; snapping keeps a copied slice a copied slice.
    nearest = round(value * 2) / 2
    return nearest if abs(value - nearest) < 1e-7 else float(value)


def _resample_aligned(
    pixels: torch.Tensor,
    axes: tuple[_AxisMap, _AxisMap, _AxisMap],
    source_shape: tuple[int, int, int],
    target_shape: tuple[int, int, int],
    fill: float,
    transform: Transform | None,
) -> torch.Tensor:
    pixels = pixels.permute([axis.source for axis in axes])
    across, down, along = (
        axis.weights(n, source_shape[axis.source]) for axis, n in zip(axes, target_shape, strict=True)
    )
    outside = [weights.sum(dim=1) == 0 for weights in (across, down, along)]
    taps = _taps(down)
    is_selection = bool(((across == 0) | (across == 1)).all())
    slices = across.argmax(dim=1) if is_selection else torch.arange(pixels.shape[0])
    planes = torch.empty((len(slices), *target_shape[1:]), dtype=torch.float32)
    step = max(1, SLAB_ELEMENTS // max(pixels.shape[1] * pixels.shape[2], planes.shape[1] * planes.shape[2]))
    for start in range(0, len(slices), step):
        slab = pixels[slices[start : start + step]].to(torch.float32)
        if transform is not None:
            slab = transform(slab)
        part = planes[start : start + step]
        if down.shape[0] < down.shape[1]:  # rows are scarcer behind one of the two steps: the other one goes there
            torch.matmul(_weighted_rows(slab, taps), along.T, out=part)
        else:
            _weighted_rows(slab @ along.T, taps, out=part)
    if not is_selection:
        planes = (across @ planes.flatten(1)).unflatten(1, target_shape[1:])
    planes[outside[0]] = fill
    planes[:, outside[1]] = fill
    planes[:, :, outside[2]] = fill
    return planes


def _taps(weights: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """A matrix (count, source_count) as the few entries of its rows that aren't 0: columns and values (count,) each."""
    width = max(1, int((weights != 0).sum(dim=1).max()))
    values, columns = weights.topk(width, dim=1)
    return [(columns[:, n].contiguous(), values[:, n, None].contiguous()) for n in range(width)]


def _weighted_rows(
    slab: torch.Tensor, taps: list[tuple[torch.Tensor, torch.Tensor]], out: torch.Tensor | None = None
) -> torch.Tensor:
    """What the taps' matrix times each plane of (N, rows, columns) is, at a few multiplications a number."""
    (columns, values), *others = taps
    result = torch.index_select(slab, 1, columns, out=out).mul_(values)
    for columns, values in others:
        result.addcmul_(slab.index_select(1, columns), values)
    return result


def _resample_oblique(
    pixels: torch.Tensor,
    index_map: np.ndarray,
    target_shape: tuple[int, int, int],
    fill: float,
    transform: Transform | None,
) -> torch.Tensor:
    values = pixels.to(torch.float32, copy=True)  # transforms work in place, and the input must stay as it is
    if transform is not None:
        values = transform(values)
    values = _averaged(values, index_map)
    resampled = torch.empty(target_shape, dtype=torch.float32)
    # A voxel's positions, and what is computed from them, are some 8 numbers.
    step = max(1, SLAB_ELEMENTS // 8 // (target_shape[1] * target_shape[2]))
    for start in range(0, target_shape[0], step):
        rows = range(start, min(start + step, target_shape[0]))
        inside = np.ones((len(rows), *target_shape[1:]), dtype=bool)
        grid = np.empty((*inside.shape, 3), dtype=np.float32)
        for axis, count in enumerate(values.shape[::-1]):
            positions = _positions(index_map[axis], target_shape, rows)
            inside &= _inside(positions, count)
            grid[..., axis] = positions * (2 / max(count - 1, 1)) - 1
        interpolated = torch.nn.functional.grid_sample(
            values[None, None], torch.from_numpy(grid)[None], mode="bilinear", padding_mode="border", align_corners=True
        )[0, 0]
        resampled[start : rows.stop] = interpolated.masked_fill_(torch.from_numpy(~inside), fill)
    return resampled


def _averaged(values: torch.Tensor, index_map: np.ndarray) -> torch.Tensor:
    """Average the source (in place) along its own axes over as many voxels as one of the target's holds."""
    # A column of the inverse is a step along a source axis, in target voxels.
    i, j, k = np.round(1 / np.linalg.norm(np.linalg.inv(index_map[:3, :3]), axis=0), 6)
    if k > 1:
        values = (_averaging(values.shape[0], k) @ values.flatten(1)).view_as(values)
    if max(i, j) > 1:
        down, along = _averaging(values.shape[1], j), _averaging(values.shape[2], i)
        step = max(1, SLAB_ELEMENTS // (values.shape[1] * values.shape[2]))
        for start in range(0, values.shape[0], step):
            values[start : start + step] = down @ values[start : start + step] @ along.T
    return values


def _averaging(count: int, step: float) -> torch.Tensor:
    """Matrix (count, count) that, before linear interpolation, makes a triangle of half-width ``step`` of it."""
    if step <= 1:
        return torch.eye(count)
    width = int(np.ceil(step))
    indices = np.arange(count)
    triangle = np.clip(1 - np.abs(indices[:, None] - indices[None, :]) / width, 0, None)
    triangle /= triangle.sum(axis=1, keepdims=True)
    # Variances add up: (step² − 1) / 6 here and 1/6 by the interpolation; a whole triangle has (width² − 1) / 6.
    share = (step**2 - 1) / (width**2 - 1)
    return torch.from_numpy((share * triangle + (1 - share) * np.eye(count)).astype(np.float32))


def _positions(coefficients: np.ndarray, shape: tuple[int, int, int], rows: range) -> np.ndarray:
    """Index along one source axis of the target voxels of some slices, float64 (rows, J, I).

    ``coefficients`` is that axis' row of the map from target (i, j, k, 1) to source indices.
    """
    of_i, of_j, of_k, offset = coefficients
    plane = (of_j * np.arange(shape[1]))[:, None] + (of_i * np.arange(shape[2]) + offset)
    return plane + (of_k * np.arange(rows.start, rows.stop))[:, None, None]


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """The array as a tensor, without a copy where torch knows its type, its byte order and its strides."""
    if array.dtype.kind in "bu":  # torch computes with uint8 alone of the unsigned types
        array = array.astype({1: np.uint8, 2: np.int32}.get(array.dtype.itemsize, np.int64), copy=False)
    elif array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    array = np.asarray(array, dtype=array.dtype.newbyteorder("="))
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(array)
