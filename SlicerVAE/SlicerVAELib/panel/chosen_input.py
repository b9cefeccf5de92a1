"""The chosen input: its place, the slices that are wanted, its structures, and what speaks against a run."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.cropping import SliceRange
from ..core.declaration import check
from ..core.errors import UserError
from ..core.manifest import Manifest
from ..core.planes import slice_axis
from ..core.volume import Geometry
from ..scene.nodes import SegmentationNode, VolumeNode
from ..scene.segmentations import segment_names
from ..scene.slice_views import point_shown
from ..scene.volumes import checked_image, volume_from_node
from .translation import tr as _


@dataclasses.dataclass(frozen=True)
class StructureMatch:
    """One of the model's structures and the segment that it is, empty while nobody said which; ``offered`` are all
    segments there are, ``doubt`` says why there is no suggestion."""

    structure: str
    segment: str
    offered: tuple[str, ...]
    doubt: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class InputFacts:
    """What is known of an input without reading it again; ``doubts`` are the model's about it."""

    geometry: Geometry
    slice_axis: int
    modality: str
    doubts: tuple[str, ...]

    @property
    def slice_count(self) -> int:
        """How many slices there are along the model's stack."""
        return self.geometry.shape[self.slice_axis]


class ChosenInput:
    """``facts`` is None where nothing is chosen, or what ``complaint`` tells of is."""

    def __init__(self) -> None:
        self.facts: InputFacts | None = None
        self.complaint = ""
        self._seen: tuple[Any, ...] = ()

    def choose(self, node: VolumeNode | None, manifest: Manifest | None) -> None:
        """Look at another input, or with another model's eyes; what did not change is not looked at again."""
        seen = (*_state_of(node), manifest.checksum if manifest else "")
        if seen == self._seen:
            return
        self._seen, self.facts, self.complaint = seen, None, ""
        if node is None:
            return
        try:
            self.facts = _facts(node, manifest)
        except UserError as error:
            self.complaint = str(error)

    def forget(self) -> None:
        """Hold on to nothing of the scene."""
        self.facts, self.complaint, self._seen = None, "", ()


def slices_wanted(parameters: Any, facts: InputFacts) -> SliceRange:
    """Return the slices that the person wants, within those there are."""
    axis, last = facts.slice_axis, facts.slice_count - 1
    if parameters.currentSliceOnly:
        point = point_shown(parameters.inputVolume.GetScene())
        number = last // 2 if point is None else _slice_at(point, facts.geometry, axis)
        return SliceRange(axis, number, number)
    end = last if parameters.lastSlice == 0 else min(parameters.lastSlice - 1, last)
    return SliceRange(axis, min(parameters.firstSlice - 1, end), end)


def matched_structures(
    wanted: tuple[str, ...], segmentation: SegmentationNode | None, chosen: Mapping[str, str]
) -> tuple[StructureMatch, ...]:
    """Match the model's structures with segments: by what the person chose ("" for none), else by names that leave no
    doubt. A side is never guessed, and of segments with the same name none is taken by itself."""
    names = segment_names(segmentation) if segmentation is not None else ()
    doubled = _doubled(segmentation)
    matches = []
    for structure in wanted:
        suggestion, doubt = _suggestion(structure, names, doubled)
        segment = chosen.get(structure, suggestion)
        matches.append(StructureMatch(structure, segment if segment in names else "", names, doubt))
    return tuple(matches)


def _suggestion(structure: str, names: tuple[str, ...], doubled: frozenset[str]) -> tuple[str, str]:
    from ..core.structure_names import StructureNames  # of a model that sees structures

    try:
        meant = StructureNames().meant(structure, names)
    except UserError as error:
        return "", str(error)
    if meant in doubled:
        return "", _("Several segments are called '{name}'; choose the one that is meant.").format(name=meant)
    return meant or "", ""


def _doubled(segmentation: SegmentationNode | None) -> frozenset[str]:
    if segmentation is None:
        return frozenset()
    held = segmentation.GetSegmentation()
    counts = Counter(held.GetNthSegment(number).GetName() for number in range(held.GetNumberOfSegments()))
    return frozenset(name for name, count in counts.items() if count > 1)


def _facts(node: VolumeNode, manifest: Manifest | None) -> InputFacts:
    volume = volume_from_node(checked_image(node))
    if manifest is None:
        return InputFacts(volume.geometry, 0, str(volume.modality), ())
    doubts = check(volume, manifest.declaration, manifest.title, override=True)  # all that can be overridden
    return InputFacts(
        volume.geometry, slice_axis(volume.geometry, manifest.preprocessing.plane), str(volume.modality), doubts
    )


def _state_of(node: VolumeNode | None) -> tuple[Any, ...]:
    """What changes when the node's voxels or its place do."""
    if node is None:
        return (None,)
    image, transform = node.GetImageData(), node.GetParentTransformNode()
    scalars = image.GetPointData().GetScalars() if image is not None else None
    changed = (node, image, scalars, transform)
    return (node.GetID(), *(part.GetMTime() if part is not None else 0 for part in changed))


def _slice_at(ras: tuple[float, float, float], geometry: Geometry, axis: int) -> int:
    ijk = np.linalg.inv(geometry.ijk_to_ras) @ (*ras, 1.0)
    return int(np.clip(np.rint(ijk[2 - axis]), 0, geometry.shape[axis] - 1))
