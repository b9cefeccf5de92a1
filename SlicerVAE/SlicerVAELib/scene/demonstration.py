"""The demonstration patient in the scene: CT, structures, dose, and what the demonstration model found.

Everything opens before torch is installed. Each node's name says that it is a phantom.
"""

import contextlib
import dataclasses
from pathlib import Path

import numpy as np
import slicer

from ..core.demonstration import read_demonstration
from ..core.volume import Source, Volume
from . import display, hierarchy
from .additions import Additions
from .dose_display import DOSE_VOLUME, AsDose
from .jobs import MapNodes, prepare_maps
from .mask_segments import add_segmentation
from .nodes import SegmentationNode, VolumeNode
from .outputs import Output, Place, image_of, write_one
from .provenance import ANOMALY, PREFIX, RECONSTRUCTION
from .resources import MODEL, PATIENT

NAME = "demonstration phantom"
DEMONSTRATION = PREFIX + "Demonstration"
_WINDOW_HU = (-160.0, 240.0)  # of soft tissue, as abdominal CT is looked at


@dataclasses.dataclass(frozen=True)
class DemonstrationNodes:
    """What was loaded; ``maps`` are the precomputed reconstruction and anomaly map."""

    volume: VolumeNode
    structures: SegmentationNode
    dose: VolumeNode
    maps: MapNodes


def load_demonstration_patient(patient: Path = PATIENT, model: Path = MODEL) -> DemonstrationNodes:
    """Add the demonstration patient to ``slicer.mrmlScene``, all of it or nothing.

    ``model`` need not be there. Raises UserError for a damaged file.
    """
    read = read_demonstration(patient)
    scene = slicer.mrmlScene
    with contextlib.ExitStack() as undo:
        additions = Additions(scene, undo)
        folder = additions.folder(hierarchy.scene_item(scene), NAME.capitalize())

        def add(volume: Volume, name: str, look: display.Look) -> VolumeNode:
            output = Output(name, image_of(volume.array), {DEMONSTRATION: "1"}, look)
            node = write_one(additions, output, Place(volume.geometry.ijk_to_ras, "", folder))
            hierarchy.set_attribute(node, "DICOM.Modality", str(volume.modality))
            return node

        image = add(read.volume, f"CT ({NAME})", display.LikeInput(None, _WINDOW_HU))
        _describe(image, read.volume.source)
        dose = add(read.dose, f"dose ({NAME})", AsDose(float(np.max(read.dose.array))))
        dose.SetAttribute(DOSE_VOLUME, "1")
        structures = add_segmentation(additions, read.volume.masks, read.volume.geometry, f"structures ({NAME})")
        structures.SetAttribute(DEMONSTRATION, "1")
        hierarchy.place(structures, folder)
        job = prepare_maps(image, model, {RECONSTRUCTION: None, ANOMALY: None})
        maps = job.publish(read.result)
        undo.pop_all()
    return DemonstrationNodes(image, structures, dose, maps)


def _describe(node: VolumeNode, source: Source) -> None:
    """Note what Slicer's DICOM import would have noted, by which models know a phantom."""
    hierarchy.set_attribute(node, "DICOM.SeriesDescription", source.description)
