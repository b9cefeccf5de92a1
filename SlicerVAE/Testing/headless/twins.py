"""The same patient on different grids: an image known at every position, and volumes with their axes turned."""

import numpy as np

from SlicerVAELib.core.volume import Geometry, Modality, Volume

# Centre (RAS mm), standard deviation (mm) and height (HU above water) of the blobs; no symmetry could hide a flip.
BLOBS = (
    ((0.0, 0.0, 0.0), 40.0, 500.0),
    ((35.0, 12.0, 10.0), 16.0, -600.0),
    ((-30.0, -20.0, 22.0), 14.0, 400.0),
    ((12.0, 38.0, -24.0), 18.0, -350.0),
)


def hounsfield(positions: np.ndarray) -> np.ndarray:
    """Values of a smooth body, about −500…700 HU, at RAS positions (…, 3) in mm."""
    values = np.full(positions.shape[:-1], -100.0)
    for centre, sigma, height in BLOBS:
        values += height * np.exp(-((positions - np.array(centre)) ** 2).sum(axis=-1) / (2 * sigma**2))
    return values


def positions(geometry: Geometry) -> np.ndarray:
    """RAS mm of every voxel, (K, J, I, 3)."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
    return np.stack([i, j, k], axis=-1) @ geometry.ijk_to_ras[:3, :3].T + geometry.ijk_to_ras[:3, 3]


def body(geometry: Geometry) -> Volume:
    """The smooth body as a CT on a grid."""
    return Volume(hounsfield(positions(geometry)).astype(np.float32), geometry, Modality.CT)


def grid(shape: tuple[int, int, int], spacing: tuple[float, float, float], turn: np.ndarray | None = None) -> Geometry:
    """A grid (K, J, I) about the RAS origin, spacing along i, j, k, its axes turned (or sheared) by a 3×3 matrix."""
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if turn is None else turn) * np.array(spacing)
    matrix[:3, 3] = -matrix[:3, :3] @ (np.array(shape[::-1]) - 1) / 2
    return Geometry(shape, matrix)


def rotation(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    """The 3×3 rotation about an axis (Rodrigues)."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def turned(array: np.ndarray, order: tuple[int, ...], flips: tuple[bool, ...]) -> np.ndarray:
    """The array with its axes in another order and then some of them reversed (a view)."""
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    return array.transpose(order)[steps]


def turned_back(array: np.ndarray, order: tuple[int, ...], flips: tuple[bool, ...]) -> np.ndarray:
    """Undo ``turned``."""
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    return array[steps].transpose(np.argsort(order))


def twin(volume: Volume, order: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same image in the same place, stored with its array axes turned."""
    shape = tuple(volume.geometry.shape[axis] for axis in order)
    step = np.zeros((4, 4))
    step[3, 3] = 1
    for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
        step[2 - old, 2 - new] = -1 if flip else 1  # array axes K, J, I are matrix columns 2, 1, 0
        step[2 - old, 3] = shape[new] - 1 if flip else 0
    geometry = Geometry(shape, volume.geometry.ijk_to_ras @ step)
    return volume.replace(array=turned(volume.array, order, flips), geometry=geometry)
