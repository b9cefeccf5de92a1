"""The most similar patients, each with the library's picture at the level that matches a slice of the query. Nothing
here has a look at the scene, so that it may be done beside the window."""

import dataclasses

import numpy as np

from ..core.engine import EncodedVolume
from ..core.progress import Cancel, Listener, part_of
from ..core.volume import Volume
from ..library.access import open_library
from ..library.intake import centroid_lps_mm, target_of
from ..library.matched_picture import MatchedLevel, matched_level
from ..library.neighbours import Neighbours
from ..scene.similar_patients import RankingJob


@dataclasses.dataclass(frozen=True, eq=False)
class FoundPatients:
    """The ranking; ``levels`` are those that match the query's slice at ``shown_lps_mm``, one for each neighbour."""

    neighbours: Neighbours
    levels: tuple[MatchedLevel, ...]
    shown_lps_mm: tuple[float, float, float]


def search(job: RankingJob, encoded: EncodedVolume, progress: Listener, cancel: Cancel) -> FoundPatients:
    """Rank, and look up the pictures. Raises UserError as ``RankingJob.search``, Cancelled."""
    neighbours = job.search(encoded, part_of(progress, 0.0, 0.95), cancel)
    shown = shown_slice(job.volume, encoded)
    with open_library(job.library) as library:
        levels = []
        for one in neighbours.nearest:
            cancel.check()
            levels.append(matched_level(library, one, shown))
    left, posterior, superior = map(float, encoded.slice_positions_mm[shown])
    return FoundPatients(neighbours, tuple(levels), (left, posterior, superior))


def shown_slice(volume: Volume, encoded: EncodedVolume) -> int:
    """The encoded slice that shows most: at the middle of the target, or of the image."""
    superior = encoded.slice_positions_mm[:, 2]
    target = target_of(volume)
    level = centroid_lps_mm(volume.masks[target], volume.geometry)[2] if target else float(np.median(superior))
    return int(np.abs(superior - level).argmin())
