"""A bundle applied to files: what the commands ``reconstruct``, ``sample`` and ``evaluate`` do."""

import dataclasses
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from SlicerVAELib.core.engine import Engine, Reconstruction, ReconstructRequest, Synthesis, SynthesizeRequest
from SlicerVAELib.core.progress import Cancel, Listener
from SlicerVAELib.core.records import to_data
from SlicerVAELib.core.structure_names import StructureNames
from SlicerVAELib.core.volume import Geometry, Modality, Volume
from SlicerVAELib.io.dicomweb import local_copy
from SlicerVAELib.io.read import read_volume
from SlicerVAELib.io.structures import read_structures
from SlicerVAELib.io.write import OutputFolder, write_json_atomically, write_volume

from .data.study import laid_on


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
    further = {name: laid_on(volume, read_volume(path, modality=modality)) for name, path in channels.items()}
    volume = volume.replace(channels=further)
    if structures is not None:
        masks = read_structures(structures, volume)
        if structure_names is not None:
            masks = StructureNames(structure_names).standardised(masks)
        volume = volume.replace(masks=masks)
    read = time.perf_counter() - began
    result = engine.reconstruct(request_for(volume), listener, cancel)
    began = time.perf_counter()
    with OutputFolder(out) as folder:
        fields = provenance_fields(result.provenance)
        for name, array in result.arrays.items():
            write_volume(folder / f"{_file_name(name)}.nrrd", array, volume.geometry, fields=fields)
        timings = {"read": read, **result.timings, "write": time.perf_counter() - began}
        summary = _summary(volume, result, timings)
        write_json_atomically(folder / "result.json", summary)
    return summary


def _file_name(output: str) -> str:
    """An output's name, which may hold a structure's, as that of a file on any system."""
    return re.sub(r"[^\w .()+-]", "_", output)


def sample_to_folder(
    engine: Engine, request: SynthesizeRequest, out: Path, *, listener: Listener, cancel: Cancel
) -> Synthesis:
    """Write synthetic slices as synthetic.nrrd, a picture of them, and result.json into ``out``, all or none."""
    from .pictures import contact_sheet

    result = engine.synthesize(request, listener, cancel)
    with OutputFolder(out) as folder:
        fields = provenance_fields(result.provenance) | {"SlicerVAE.Synthetic": "1"}
        write_volume(folder / "synthetic.nrrd", result.images, stack_geometry(result), fields=fields)
        (folder / "synthetic.png").write_bytes(contact_sheet(result.images, result.window, "Synthetic slices"))
        summary: dict[str, Any] = {"synthetic": True, "count": len(result.images), "spacing_mm": result.spacing_mm}
        summary |= {"timings_s": result.timings, "notices": list(result.notices)}
        summary["provenance"] = to_data(result.provenance)
        write_json_atomically(folder / "result.json", summary)
    return result


def stack_geometry(result: Synthesis) -> Geometry:
    """A grid for independent synthetic slices: centred, axial, one pixel's width apart."""
    count, height, width = result.images.shape
    spacing = result.spacing_mm
    origin = tuple(-spacing * (n - 1) / 2 for n in (width, height, count))
    return Geometry.from_lps((count, height, width), spacing=(spacing,) * 3, origin=origin)


def provenance_fields(provenance: Any) -> dict[str, str]:
    """Provenance as the key–value fields of a file."""
    return {
        "SlicerVAE.Bundle": provenance.bundle_name,
        "SlicerVAE.BundleVersion": provenance.bundle_version,
        "SlicerVAE.BundleSHA256": provenance.bundle_sha256,
        "SlicerVAE.Software": provenance.software,
        "SlicerVAE.Parameters": json.dumps(provenance.parameters),
        "SlicerVAE.Warnings": json.dumps(list(provenance.warnings)),
    }


def _summary(volume: Volume, result: Reconstruction, timings: Mapping[str, float]) -> dict[str, Any]:
    seen = result.arrays["field_of_view"] != 0
    spacing, origin, direction = volume.geometry.lps
    summary: dict[str, Any] = {
        "input": {
            **to_data(volume.source),
            "modality": str(volume.modality),
            "modality_is_inferred": volume.modality_is_inferred,
            "size": list(volume.geometry.shape[::-1]),
            "spacing_mm": spacing.tolist(),
            "origin_lps_mm": origin.tolist(),
            "direction_lps": direction.tolist(),
        },
        "provenance": to_data(result.provenance),
        "unit": volume.modality.unit,
        "intensity_window": list(result.window),
        "anomaly_unit": result.anomaly_unit,
        "seen_by_the_model": float(seen.mean()),
        "slices": {
            "position_mm": list(result.slice_positions_mm),
            "negative_elbo_nats": list(result.slice_scores),
        },
        "timings_s": {name: round(seconds, 4) for name, seconds in timings.items()},
        "notices": [*volume.source.notes, *result.notices],
    }
    if volume.masks:
        summary["structures"] = {
            name: _of_region(mask & seen, mask, volume, result) for name, mask in volume.masks.items()
        }
    return summary


def _of_region(seen: np.ndarray, mask: np.ndarray, volume: Volume, result: Reconstruction) -> dict[str, Any]:
    """What the maps say inside one structure; the means are over its part within the field of view."""
    region: dict[str, Any] = {
        "volume_cm3": float(mask.sum()) * volume.geometry.voxel_volume_cm3,
        "seen_by_the_model": float(seen.sum() / mask.sum()) if mask.any() else 0.0,
    }
    if seen.any():
        residual, anomaly = result.arrays["residual"][seen], result.arrays["anomaly"][seen]
        region["mean_residual"] = float(residual.mean())
        region["mean_absolute_residual"] = float(np.abs(residual).mean())
        region["mean_anomaly"] = float(anomaly.mean())
        region["anomaly_95th_percentile"] = float(np.percentile(anomaly, 95))
    return region
