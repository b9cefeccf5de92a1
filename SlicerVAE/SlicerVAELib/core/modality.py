"""Guessing what a volume measures from its values, for file formats whose header does not say."""

import numpy as np

from .volume import Modality

_SAMPLES = 2_000_000  # voxels looked at; enough for the shares below to be stable to a fraction of a per cent
_MOST_LABELS = 128  # a whole-body label map has about 120 structures, an 8-bit image nearly 256 grey values


def infer_modality(array: np.ndarray) -> Modality:
    """Return what the values of ``array`` (any shape) look like.

    CT, by its Hounsfield units, when at least 1 % of the voxels are lung, air or padding (−600 and below), at least
    2 % lie between fat and soft tissue (−200…300) and at most 5 % are denser than cancellous bone (above 1500, which a
    signed MR phase image exceeds). MR, in arbitrary units, when next to nothing is negative: at most 1 % of the voxels
    lie below −5 % of the maximum, which interpolation leaves behind. UNKNOWN otherwise: label maps (at most 128
    different whole numbers), standardised values, maps of differences, constant arrays.

    A CT stored with an offset (air at 0) cannot be told from an MR by its values; only the caller can name it.
    """
    values = array.reshape(-1)[:: max(1, array.size // _SAMPLES)]
    if values.size == 0 or values.dtype == bool or not np.isfinite(values).all():
        return Modality.UNKNOWN
    if _has_hounsfield_look(values):
        return Modality.CT
    high = float(values.max())
    if high <= 0 or np.mean(values < -0.05 * high) > 0.01 or _is_label_map(values):
        return Modality.UNKNOWN
    return Modality.MR


def _has_hounsfield_look(values: np.ndarray) -> bool:
    air = np.mean(values <= -600)
    tissue = np.mean((values >= -200) & (values <= 300))
    dense = np.mean(values > 1500)
    return bool(air >= 0.01 and tissue >= 0.02 and dense <= 0.05)


def _is_label_map(values: np.ndarray) -> bool:
    if not np.issubdtype(values.dtype, np.integer) and np.any(values != np.rint(values)):
        return False
    return len(np.unique(values)) <= _MOST_LABELS
