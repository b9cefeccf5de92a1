"""Outputs in the scene as DICOM files that refer to the series their input was loaded from."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import slicer
import slicer.util

from ..core.errors import UserError
from ..core.volume import Modality
from ..io.export.folders import Exported, export_outputs, export_samples
from ..io.export.results import ModelOutputs, Samples
from ..io.export.source import read_source_series
from .dicom_files import file_of
from .nodes import VolumeNode
from .provenance import (
    ANOMALY,
    ANOMALY_UNIT,
    FIELD_OF_VIEW_ROLE,
    KIND,
    RECONSTRUCTION,
    RESIDUAL,
    SAMPLES,
    SOURCE_NODE,
    SOURCE_SERIES,
    provenance_of,
)
from .volumes import own_geometry


def export_nodes(
    nodes: Sequence[VolumeNode], folder: Path, *, source: Path | None = None, threshold: float | None = None
) -> Exported:
    """Write outputs of one input, or one node of synthetic slices, into the new or empty ``folder``.

    ``source`` is the folder with the DICOM files of the input; None takes those that the input was loaded from, as
    Slicer's DICOM database knows them. ``threshold``, in the anomaly map's unit, also marks what lies above it.

    Raises UserError, with nothing written, for nodes that are not outputs of one run, whose input is not DICOM or is
    not on their grid.
    """
    if not nodes:
        raise UserError("Nothing is chosen to be exported; choose outputs of SlicerVAE.")
    if any(node.GetAttribute(KIND) == SAMPLES for node in nodes):
        return _export_samples(nodes, folder, threshold)
    outputs = _outputs(nodes)
    place, series = (source, outputs.series_uid or None) if source is not None else (_loaded_from(nodes[0]), None)
    return export_outputs(outputs, read_source_series(place, series), folder, threshold=threshold)


def _export_samples(nodes: Sequence[VolumeNode], folder: Path, threshold: float | None) -> Exported:
    if len(nodes) > 1:
        raise UserError("Synthetic slices belong to no patient; export them alone, without other outputs.")
    if threshold is not None:
        raise UserError("Synthetic slices have no anomaly map; leave the threshold out.")
    (node,) = nodes
    return export_samples(Samples(slicer.util.arrayFromVolume(node), own_geometry(node), provenance_of(node)), folder)


def _outputs(nodes: Sequence[VolumeNode]) -> ModelOutputs:
    first = nodes[0]
    arrays: dict[str, np.ndarray] = {}
    for node in nodes:
        kind = node.GetAttribute(KIND)
        if kind not in (RECONSTRUCTION, RESIDUAL, ANOMALY):
            raise UserError(f"'{node.GetName()}' is no output of SlicerVAE; choose reconstructions and maps.")
        if kind in arrays:
            raise UserError(f"Two of the chosen nodes are a {kind}; choose the outputs of one input.")
        if _run_of(node) != _run_of(first) or not own_geometry(node).matches(own_geometry(first)):
            raise UserError(
                f"'{node.GetName()}' and '{first.GetName()}' were not made by one model of one input; export them one "
                "after the other."
            )
        arrays[kind] = slicer.util.arrayFromVolume(node)
    provenance = provenance_of(first)
    return ModelOutputs(
        arrays=arrays | {"field_of_view": _field_of_view(nodes)},
        geometry=own_geometry(first),
        unit=Modality(provenance.modality).unit,
        anomaly_unit=next((unit for node in nodes if (unit := node.GetAttribute(ANOMALY_UNIT))), ""),
        provenance=provenance,
        series_uid=first.GetAttribute(SOURCE_SERIES) or "",
        name=f"'{first.GetName()}'",
    )


def _run_of(node: VolumeNode) -> tuple[str | None, str]:
    return node.GetAttribute(SOURCE_NODE), provenance_of(node).bundle_sha256


def _field_of_view(nodes: Iterable[VolumeNode]) -> np.ndarray:
    """What the model saw: everything, where no node says otherwise."""
    first = None
    for node in nodes:
        first = node if first is None else first
        if (seen := node.GetNodeReference(FIELD_OF_VIEW_ROLE)) is not None:
            return slicer.util.arrayFromVolume(seen)
    return np.ones(slicer.util.arrayFromVolume(first).shape, np.uint8)


def _loaded_from(output: VolumeNode) -> Path:
    """A file of the series that the output's input was loaded from."""
    scene = output.GetScene()
    node = scene.GetNodeByID(output.GetAttribute(SOURCE_NODE) or "") if scene else None
    path = file_of(node) if node is not None else None
    if path is not None:
        return path
    raise UserError(
        f"The DICOM files that '{output.GetName()}' refers to are not known; name their folder as the source."
    )
