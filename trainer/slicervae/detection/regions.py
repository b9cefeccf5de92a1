"""Lesions found and false alarms, region by region."""

import dataclasses

import numpy as np
from scipy import ndimage

_TOUCHING = np.ones((3, 3, 3), dtype=bool)


@dataclasses.dataclass(frozen=True)
class Regions:
    """Of one volume: ``lesions`` and how many of them were ``found``, and ``false_alarms``, regions that no lesion
    touches."""

    lesions: int
    found: int
    false_alarms: int


def regions_of(marked: np.ndarray, truth: np.ndarray, voxel_cm3: float, smallest_cm3: float) -> Regions:
    """Compare what is ``marked`` with the ``truth``, boolean (K, J, I).

    Regions hold together through faces, edges and corners; marked ones smaller than ``smallest_cm3`` do not count. A
    lesion is found when a marked region shares a voxel with it.
    """
    labels, count = ndimage.label(marked, structure=_TOUCHING)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    large = sizes * voxel_cm3 >= smallest_cm3
    large[0] = False
    lesions, number = ndimage.label(truth, structure=_TOUCHING)
    touched = np.unique(lesions[large[labels] & truth])
    true_alarms = np.unique(labels[truth & large[labels]])
    return Regions(number, int(np.count_nonzero(touched)), int(large.sum()) - len(true_alarms))
