"""Further co-registered images of a patient, laid on the grid of the image that is examined."""

from collections.abc import Mapping

import numpy as np

from .errors import UserError
from .resampling import coverage, resample
from .volume import Volume


def with_channels(volume: Volume, channels: Mapping[str, Volume]) -> Volume:
    """The volume with further images, by the names that a model gives them. Raises UserError as ``laid_on``, and for
    values that are not numbers."""
    if not channels:
        return volume
    laid = {}
    for name, other in channels.items():
        laid[name] = laid_on(volume, other)
        if laid[name].dtype.kind == "f" and not np.isfinite(laid[name]).all():
            raise UserError(f"{_called(other)} holds values that are not numbers; repair it or choose another image.")
    return volume.replace(channels={**volume.channels, **laid})


def laid_on(main: Volume, other: Volume) -> np.ndarray:
    """The values of ``other`` (K, J, I) on the grid of ``main``; its smallest where it does not reach.

    Raises UserError for images of different frames of reference or modalities, and for such that do not overlap.
    """
    called = f"{_called(other)} and {_called(main)}"
    frames = {main.source.frame_of_reference_uid, other.source.frame_of_reference_uid} - {""}
    if len(frames) > 1:
        raise UserError(f"{called} are not in one frame of reference; register them with each other first.")
    are_certain = not (main.modality_is_inferred or other.modality_is_inferred)
    if are_certain and main.modality is not other.modality:
        raise UserError(f"{called} are {main.modality} and {other.modality}; channels must be of one modality.")
    if other.geometry.matches(main.geometry, tolerance_mm=0.01 * float(main.geometry.spacing.min())):
        return other.array
    if not coverage(other.geometry, main.geometry).any():
        raise UserError(f"{called} do not overlap anywhere; register them with each other first.")
    lowest = float(other.array.min())
    return resample(other.array, other.geometry, main.geometry, fill=lowest).numpy()


def _called(volume: Volume) -> str:
    return volume.source.path or f"'{volume.source.name}'"
