"""A bundle applied to files: what the commands ``reconstruct``, ``sample`` and ``evaluate`` do."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from SlicerVAELib.core.engine import Engine, ReconstructRequest, Synthesis, SynthesizeRequest
from SlicerVAELib.core.progress import Cancel, Listener
from SlicerVAELib.core.records import to_data
from SlicerVAELib.core.structure_names import StructureNames
from SlicerVAELib.core.volume import Geometry, Modality, Volume
from SlicerVAELib.io.dicomweb import local_copy
from SlicerVAELib.io.read import read_volume
from SlicerVAELib.io.result_folder import provenance_fields, write_result
from SlicerVAELib.io.structures import read_structures
from SlicerVAELib.io.write import OutputFolder, write_json_atomically, write_volume


def reconstruct_file(
    engine: Engine,
    request_for: Callable[[Volume], ReconstructRequest],
    source: str | Path,
    out: Path,
    *,
    series: str | None = None,
    frame: int | None = None,
    modality: Modality | None = None,
    structures: Path | None = None,
    structure_names: Path | None = None,
    channels: Mapping[str, Path] = MappingProxyType({}),
    listener: Listener,
    cancel: Cancel,
) -> dict[str, Any]:
    """Reconstruct the volume at ``source``; write the maps and result.json into ``out``, all or none.

    ``source`` is a file, a folder, or as text the address of a study or series on a DICOMweb server. Returns the
    content of result.json. ``structures`` is a structure set or label map whose regions are summed up and, where the
    model sees structures, shown to it, by the names of AAPM TG-263 or of the site's own file ``structure_names`` where
    theirs mean one of these; ``channels`` are further images of the same patient by the names that the model
    gives them, resampled to the grid of ``source``.
    """
    began = time.perf_counter()
    with local_copy(source, cancel=cancel) as place:
        volume = read_volume(place, series=series, frame=frame, modality=modality)
    if place != Path(source):  # a copy that is gone by now
        volume = volume.replace(source=dataclasses.replace(volume.source, path=str(source)))
    further = {name: read_volume(path, modality=modality) for name, path in channels.items()}
    if structures is not None:
        masks = read_structures(structures, volume)
        if structure_names is not None:
            masks = StructureNames(structure_names).standardised(masks)
        volume = volume.replace(masks=masks)
    read = time.perf_counter() - began
    request = dataclasses.replace(request_for(volume), channels=further)
    result = engine.reconstruct(request, listener, cancel)
    return write_result(out, volume, result, read_s=read)


def sample_to_folder(
    engine: Engine, request: SynthesizeRequest, out: Path, *, listener: Listener, cancel: Cancel
) -> Synthesis:
    """Write synthetic slices as synthetic.nrrd, a picture of them, and result.json into ``out``, all or none.

    Of a model of structures structures.seg.nrrd is written too, a segmentation as Slicer opens it.
    """
    from .pictures import contact_sheet

    result = engine.synthesize(request, listener, cancel)
    with OutputFolder(out) as folder:
        fields = provenance_fields(result.provenance) | {"SlicerVAE.Synthetic": "1"}
        write_volume(folder / "synthetic.nrrd", result.images, stack_geometry(result), fields=fields)
        if result.structures:
            labels, names = label_map(result.structures)
            write_volume(folder / "structures.seg.nrrd", labels, stack_geometry(result), fields=fields | names)
        (folder / "synthetic.png").write_bytes(contact_sheet(result.images, result.window, "Synthetic slices"))
        summary: dict[str, Any] = {"synthetic": True, "count": len(result.images), "spacing_mm": result.spacing_mm}
        summary |= {"timings_s": result.timings, "notices": list(result.notices)}
        summary["provenance"] = to_data(result.provenance)
        write_json_atomically(folder / "result.json", summary)
    return result


def label_map(structures: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, str]]:
    """Masks that don't overlap as labels 1, 2, … (N, H, W), and the header fields by which Slicer knows their names."""
    labels = np.zeros(next(iter(structures.values())).shape, dtype=np.uint8)
    fields: dict[str, str] = {}
    for index, (name, mask) in enumerate(structures.items()):
        labels[mask != 0] = index + 1
        fields |= {
            f"Segment{index}_ID": f"Segment_{index + 1}",
            f"Segment{index}_Name": name,
            f"Segment{index}_LabelValue": str(index + 1),
            f"Segment{index}_Layer": "0",
        }
    return labels, fields


def stack_geometry(result: Synthesis) -> Geometry:
    """A grid for synthetic slices: centred, axial, one pixel's width apart. A path through latents has no length in mm,
    and independent slices no place."""
    count, height, width = result.images.shape
    spacing = result.spacing_mm
    origin = tuple(-spacing * (n - 1) / 2 for n in (width, height, count))
    return Geometry.from_lps((count, height, width), spacing=(spacing,) * 3, origin=origin)
