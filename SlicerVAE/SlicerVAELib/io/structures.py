"""Structures of a patient as masks on a volume's grid, from an RT structure set or a label map."""

import os
from pathlib import Path

import numpy as np

from ..core.contours import fill
from ..core.errors import UserError, continued
from ..core.volume import Volume
from .images import VOLUME_FILES, ending
from .labelmap import read_labelmap
from .quiet import quiet
from .rtstruct import read_rtstruct


class DrawnElsewhereError(UserError):
    """The structures belong to another image than the one they were asked for."""


def read_structures(path: str | os.PathLike[str], volume: Volume) -> dict[str, np.ndarray]:
    """Masks (K, J, I) of the structures in ``path`` on the grid of ``volume``, by name, in the file's order.

    ``path`` is an RTSTRUCT file, or a label map as NRRD, MetaImage or NIfTI on the very grid of the volume. Structures
    without a voxel in the volume are left out. Raises UserError in one sentence when they can't be read, and its
    DrawnElsewhereError when they were drawn on another image or lie elsewhere.
    """
    place = Path(path)
    if not place.exists():
        raise UserError(f"{place} does not exist; check its spelling.")
    if place.is_dir():
        raise UserError(f"{place} is a folder; give the RTSTRUCT file or the label map itself.")
    try:
        with quiet():
            masks = _from_labelmap(place, volume) if ending(place, VOLUME_FILES) else _from_rtstruct(place, volume)
    except OSError as error:
        raise UserError(f"{error.filename or place} can't be read ({error.strerror or error}).") from error
    present = {name: mask for name, mask in masks.items() if mask.any()}
    if masks and not present:
        raise DrawnElsewhereError(f"No structure of {place} lies within {_called(volume)}; give those drawn on it.")
    return present


def _from_rtstruct(path: Path, volume: Volume) -> dict[str, np.ndarray]:
    structures = read_rtstruct(path)
    source = volume.source
    is_of_frame = source.frame_of_reference_uid in structures.frames_of_reference
    is_of_series = source.series_uid in structures.series
    is_known = (source.frame_of_reference_uid and structures.frames_of_reference) or (
        source.series_uid and structures.series
    )
    if is_known and not (is_of_frame or is_of_series):
        raise DrawnElsewhereError(
            f"{path} was drawn on another image than {_called(volume)} (neither frame of reference nor series agree); "
            "give the structure set of this image."
        )
    try:
        return {name: fill(contours, volume.geometry) for name, contours in structures.contours.items()}
    except UserError as error:
        raise UserError(f"{path} can't be laid on {_called(volume)}: {continued(error)}") from error


def _from_labelmap(path: Path, volume: Volume) -> dict[str, np.ndarray]:
    masks, geometry = read_labelmap(path)
    if not geometry.matches(volume.geometry, tolerance_mm=0.1 * float(volume.geometry.spacing.min())):
        raise DrawnElsewhereError(
            f"{path} does not lie on the grid of {_called(volume)} ({_size(geometry.shape)} against "
            f"{_size(volume.geometry.shape)} voxels); resample it with that volume as reference."
        )
    return masks


def _called(volume: Volume) -> str:
    return volume.source.path or volume.source.name or "the volume"


def _size(shape: tuple[int, int, int]) -> str:
    return "×".join(str(n) for n in shape[::-1])
