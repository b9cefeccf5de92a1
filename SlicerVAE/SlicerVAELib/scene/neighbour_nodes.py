"""A similar patient beside the query: images, structures and dose as nodes, moved so that the same levels agree.

Who the patient is stays in the library. Nodes are called by the pseudonym; structures by their standard names, because
a clinic's own may name the patient. Everything lies in a folder at the top of the hierarchy, under no patient: below
the query's, the images would count as the query's own.
"""

import dataclasses
from pathlib import Path

import numpy as np
import slicer
import slicer.util

from ..core.progress import Cancel, Listener, ignore
from ..core.structure_names import StructureNames
from ..core.volume import Volume
from ..io.treatment import Treatment
from ..library.access import load_site_key, open_library
from . import display, hierarchy
from .additions import Additions, all_or_none
from .alignment import translation_onto
from .archived_patient import read_archived
from .dose_display import DOSE_VOLUME, AsDose
from .mask_segments import add_segmentation
from .nodes import SegmentationNode, VolumeNode
from .outputs import Output, Place, image_of, write_one
from .patient_beside import SIMILAR_PATIENT
from .provenance import KIND, PREFIX
from .similar_patients import RankedPatients

FOLDER = "Similar patients"
PSEUDONYM = PREFIX + "Pseudonym"


@dataclasses.dataclass(frozen=True)
class SimilarPatientNodes:
    """What was loaded; ``structures`` and ``dose`` are None where the archive has none. All lie under ``alignment``,
    which moves them onto the query. ``notices`` are sentences for the person who loads, and may name files."""

    volume: VolumeNode
    structures: SegmentationNode | None
    dose: VolumeNode | None
    alignment: slicer.vtkMRMLLinearTransformNode
    notices: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class FetchedPatient:
    """A ranked patient's images, structures and dose, read but not in the scene yet; ``translation`` is in RAS mm."""

    ranking: RankedPatients
    pseudonym: str
    treatment: Treatment
    translation: np.ndarray

    def publish(self) -> SimilarPatientNodes:
        """Add them beside the query. Raises UserError, with the scene as it was, when that is not where it was."""
        self.ranking.check_query()
        with all_or_none(self.ranking.input.scene) as additions:
            return _write(additions, self)


def load_similar_patient(
    ranking: RankedPatients,
    pseudonym: str,
    key: Path | None,
    reason: str,
    *,
    progress: Listener = ignore,
    cancel: Cancel | None = None,
) -> SimilarPatientNodes:
    """Load a ranked patient's images, structures and dose beside the query.

    Finding out where they load from is a reveal: it needs the site's key (None: that in its usual place) and a reason,
    and stands in the library's log whatever follows. Raises UserError, with the scene as it was, when the query is no
    longer where it was, without key or reason, and when the images can't be read; Cancelled.
    """
    ranking.check_query()
    return fetch_similar_patient(ranking, pseudonym, key, reason, progress=progress, cancel=cancel).publish()


def fetch_similar_patient(
    ranking: RankedPatients,
    pseudonym: str,
    key: Path | None,
    reason: str,
    *,
    progress: Listener = ignore,
    cancel: Cancel | None = None,
) -> FetchedPatient:
    """The first half of ``load_similar_patient``, which reads files and has no look at the scene, so that a thread
    beside the window may do it. It is the reveal; raises as that does."""
    neighbour = ranking.neighbour(pseudonym)
    with open_library(ranking.library, load_site_key(key)) as library:
        identity = library.reveal(pseudonym, reason)
    treatment = read_archived(identity.series[neighbour.series], pseudonym, progress, cancel)
    (cancel or Cancel()).check()
    translation = translation_onto(ranking.volume, neighbour.query_levels_mm, treatment.volume, neighbour.levels_mm)
    return FetchedPatient(ranking, pseudonym, treatment, translation)


def _write(additions: Additions, fetched: FetchedPatient) -> SimilarPatientNodes:
    ranking, pseudonym, treatment = fetched.ranking, fetched.pseudonym, fetched.treatment
    folder = additions.folder(hierarchy.scene_item(additions.scene), FOLDER)
    attributes = {KIND: SIMILAR_PATIENT, PSEUDONYM: pseudonym}
    alignment = additions.node("vtkMRMLLinearTransformNode", f"{pseudonym} alignment")
    matrix = np.eye(4)
    matrix[:3, 3] = fetched.translation
    alignment.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    hierarchy.place(alignment, folder)

    def add_volume(volume: Volume, kind: str, look: display.Look) -> VolumeNode:
        output = Output(f"{pseudonym} {kind}", image_of(volume.array), attributes, look)
        node = write_one(additions, output, Place(volume.geometry.ijk_to_ras, alignment.GetID(), folder))
        hierarchy.set_attribute(node, "DICOM.Modality", str(volume.modality))
        return node

    volume, dose = treatment.volume, None
    look = display.LikeInput(
        ranking.input.node.GetDisplayNode(), (float(volume.array.min()), float(volume.array.max()))
    )
    image = add_volume(volume, str(volume.modality) or "image", look)
    if treatment.dose is not None:
        dose = add_volume(treatment.dose.volume, "dose", AsDose(float(treatment.dose.volume.array.max())))
        dose.SetAttribute(DOSE_VOLUME, "1")
    structures = None
    if volume.masks:
        structures = add_segmentation(additions, _named_masks(volume), volume.geometry, f"{pseudonym} structures")
        structures.SetAndObserveTransformNodeID(alignment.GetID())
        hierarchy.place(structures, folder)
    for node in filter(None, (alignment, structures)):
        for name, value in attributes.items():
            node.SetAttribute(name, value)
    return SimilarPatientNodes(image, structures, dose, alignment, (*volume.source.notes, *treatment.notices))


def _named_masks(volume: Volume) -> dict[str, np.ndarray]:
    """The volume's masks by their standard names; those without one are numbered."""
    standard = StructureNames().matched(volume.masks)
    return {
        standard[own_name] or f"structure {number}": mask
        for number, (own_name, mask) in enumerate(volume.masks.items(), start=1)
    }
