"""Metal in the body, as of implants and dental fillings, around which a CT shows streaks."""

import numpy as np

from .volume import Volume

METAL_HU = 3000.0  # denser than any bone or tooth
LEAST_CM3 = 0.1  # less is a marker or a clip, which hardly makes streaks
TISSUE_HU = -350.0
_NEIGHBOURHOOD_MM = 15.0  # to each side, in the slice
_TISSUE_SHARE = 0.5  # of what is around; around a couch's screws there is air or foam
_LOOKED_AT = 200  # voxels of metal, at equal steps through all


def metal_in_body_cm3(volume: Volume) -> float:
    """Volume of what is denser than ``METAL_HU`` and lies within tissue, in cm³, for a volume in HU."""
    found = [np.argwhere(image >= METAL_HU) for image in volume.array]  # slice by slice: no copy of the volume
    count = sum(len(places) for places in found)
    cm3 = count * volume.geometry.voxel_volume_cm3
    if cm3 < LEAST_CM3:
        return 0.0
    places = [(k, j, i) for k, of_slice in enumerate(found) for j, i in of_slice]
    looked_at = places[:: max(1, len(places) // _LOOKED_AT)]
    inside = sum(_is_within_tissue(volume, *place) for place in looked_at)
    cm3 *= inside / len(looked_at)
    return cm3 if cm3 >= LEAST_CM3 else 0.0


def _is_within_tissue(volume: Volume, k: int, j: int, i: int) -> bool:
    along_i, along_j, _ = np.ceil(_NEIGHBOURHOOD_MM / volume.geometry.spacing).astype(int)
    around = volume.array[k, max(0, j - along_j) : j + along_j + 1, max(0, i - along_i) : i + along_i + 1]
    return bool(np.mean(around > TISSUE_HU) >= _TISSUE_SHARE)
