"""The folder that a reconstruction leaves: its maps as NRRD files and result.json, from Slicer and the command line."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.engine import Provenance, Reconstruction
from ..core.records import to_data
from ..core.volume import Volume
from .names import file_name
from .write import OutputFolder, write_json_atomically, write_volume

RESULT = "result.json"


def write_result(out: Path, volume: Volume, result: Reconstruction, *, read_s: float) -> dict[str, Any]:
    """Write what a model made of ``volume`` into ``out``, all or nothing, and return the content of result.json.

    ``read_s`` is how many seconds the reading took. Raises UserError where the disk refuses.
    """
    began = time.perf_counter()
    with OutputFolder(out) as folder:
        fields = provenance_fields(result.provenance)
        for name, array in result.arrays.items():
            write_volume(folder / f"{file_name(name)}.nrrd", array, volume.geometry, fields=fields)
        timings = {"read": read_s, **result.timings, "write": time.perf_counter() - began}
        summary = _summary(volume, result, timings)
        write_json_atomically(folder / RESULT, summary)
    return summary


def provenance_fields(provenance: Provenance) -> dict[str, str]:
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
        "anomaly_not_seen": result.anomaly_not_seen,
        "patient_p_value": result.patient_p_value,
        "seen_by_the_model": float(seen.mean()),
        "slices": {
            "position_mm": list(result.slice_positions_mm),
            "negative_elbo_nats": list(result.slice_scores),
            "anomaly_99th_percentile": list(result.slice_map_scores),
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
        residual = result.arrays["residual"][seen]
        region["mean_residual"] = float(residual.mean())
        region["mean_absolute_residual"] = float(np.abs(residual).mean())
        anomaly = result.arrays["anomaly"][seen]
        anomaly = anomaly[anomaly != result.anomaly_not_seen]
        if anomaly.size:
            region["mean_anomaly"] = float(anomaly.mean())
            region["anomaly_95th_percentile"] = float(np.percentile(anomaly, 95))
    return region
