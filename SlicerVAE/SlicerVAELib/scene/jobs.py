"""Work on the scene in two halves, so that the model can compute elsewhere in between.

``prepare_…`` reads the scene and returns a job; its ``request`` goes to an engine; ``publish`` writes the engine's
answer back. Between the halves the person may delete, edit or move anything: publish looks first and writes nothing
when the answer no longer fits.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import slicer

from ..core.engine import (
    AnomalyOptions,
    DecodeRequest,
    Hardware,
    Reconstruction,
    ReconstructRequest,
    Synthesis,
    SynthesizeRequest,
)
from . import display
from .nodes import InputNode, LabelMapNode, SegmentationNode, VolumeNode, check_outputs
from .outputs import Output, Place, image_of, write
from .provenance import (
    ANOMALY,
    ANOMALY_UNIT,
    FIELD_OF_VIEW,
    FIELD_OF_VIEW_ROLE,
    PATIENT_P_VALUE,
    RECONSTRUCTION,
    RESIDUAL,
    SAMPLES,
    SYNTHETIC,
    attributes_of,
    attributes_of_source,
)
from .segmentations import masks_from_node
from .synthetic_place import axial_place
from .volumes import checked_image, volume_from_node, volumes_from_nodes

R = TypeVar("R", SynthesizeRequest, DecodeRequest)


@dataclasses.dataclass(frozen=True)
class MapNodes:
    """The nodes that a job wrote; None for what was not asked for, and for a field of view that holds everything."""

    reconstruction: VolumeNode | None = None
    residual: VolumeNode | None = None
    anomaly: VolumeNode | None = None
    field_of_view: LabelMapNode | None = None

    @property
    def written(self) -> tuple[VolumeNode, ...]:
        """Return all that were written."""
        nodes = (self.reconstruction, self.residual, self.anomaly, self.field_of_view)
        return tuple(node for node in nodes if node is not None)


@dataclasses.dataclass(frozen=True, eq=False)
class MapsJob:
    """Reconstruction, residual and anomaly map of one input volume; see ``prepare_maps``."""

    request: ReconstructRequest
    input: InputNode
    chosen: Mapping[str, VolumeNode | None]

    def publish(self, result: Reconstruction) -> MapNodes:
        """Write the engine's answer into the scene and return the nodes.

        Raises UserError, with the scene as it was, when the input or a chosen output was deleted (or the scene
        closed), or when the input's voxels or its place changed since the job was prepared.
        """
        self.input.check()
        check_outputs(self.chosen.values(), self.input.node)
        outputs = [self._map(kind, result) for kind in self.chosen]
        older = self._older_field_of_view()
        has_outside = not result.arrays["field_of_view"].all()
        if has_outside or older is not None:
            outputs.append(self._field_of_view(result, older))
        maps = write(self.input.scene, outputs, Place.beside(self.input.node))
        seen = maps.pop() if len(maps) > len(self.chosen) else None
        for node in maps:
            node.SetNodeReferenceID(FIELD_OF_VIEW_ROLE, seen.GetID() if seen else None)
        return MapNodes(**dict(zip(self.chosen, maps, strict=True)), field_of_view=seen)

    def _map(self, kind: str, result: Reconstruction) -> Output:
        attributes = self._attributes(kind, result)
        if kind == ANOMALY:
            attributes[ANOMALY_UNIT] = result.anomaly_unit
            if result.patient_p_value is not None:
                attributes[PATIENT_P_VALUE] = f"{result.patient_p_value:.4g}"
        looks: dict[str, display.Look] = {
            RECONSTRUCTION: display.LikeInput(self.input.node.GetDisplayNode(), result.window),
            RESIDUAL: display.AsResidual(result.window),
            ANOMALY: display.AsAnomaly(result.anomaly_is_signed),
        }
        image = image_of(self._checked(result.arrays[kind]).astype(np.float32, copy=False))
        return Output(self._name(kind), image, attributes, looks[kind], self.chosen[kind])

    def _field_of_view(self, result: Reconstruction, node: LabelMapNode | None) -> Output:
        return Output(
            self._name(FIELD_OF_VIEW),
            image_of(self._checked(result.arrays["field_of_view"]).astype(np.uint8, copy=False)),
            self._attributes(FIELD_OF_VIEW, result),
            display.as_field_of_view,
            node,
            node_class="vtkMRMLLabelMapVolumeNode",
            display_class="vtkMRMLLabelMapVolumeDisplayNode",
        )

    def _older_field_of_view(self) -> LabelMapNode | None:
        # Where chosen outputs are overwritten, so is the field of view that an earlier run made beside them.
        older = (node.GetNodeReference(FIELD_OF_VIEW_ROLE) for node in self.chosen.values() if node)
        return next((node for node in older if node is not None), None)

    def _name(self, kind: str) -> str:
        return f"{self.input.volume.source.name} {kind}"

    def _attributes(self, kind: str, result: Reconstruction) -> dict[str, str]:
        source = attributes_of_source(self.input.node.GetID(), self.input.volume.source)
        return attributes_of(kind, result.provenance) | source

    def _checked(self, array: np.ndarray) -> np.ndarray:
        if array.shape != self.input.volume.array.shape:
            raise ValueError(f"the engine's array is {array.shape}, the input {self.input.volume.array.shape}")
        return array


@dataclasses.dataclass(frozen=True, eq=False)
class SynthesisJob(Generic[R]):
    """A stack of synthetic slices, drawn (see ``prepare_synthesis``) or decoded from latents that a person chose."""

    request: R
    scene: slicer.vtkMRMLScene

    def publish(self, result: Synthesis) -> VolumeNode:
        """Add the slices as one volume, axial and far from every patient."""
        output = Output(
            f"{result.provenance.bundle_name} {SAMPLES}",
            image_of(result.images.astype(np.float32, copy=False)),
            attributes_of(SAMPLES, result.provenance) | {SYNTHETIC: "1"},
            display.LikeInput(None, result.window),
        )
        place = axial_place(self.scene, result.images.shape, result.spacing_mm)
        (node,) = write(self.scene, [output], place)
        return node


def prepare_maps(
    inputVolume: VolumeNode | None,
    bundle: Path,
    chosen: Mapping[str, VolumeNode | None],
    *,
    segmentation: SegmentationNode | None = None,
    channels: Mapping[str, VolumeNode] | None = None,
    anomaly: AnomalyOptions | None = None,
    sampleSeed: int | None = None,
    hardware: Hardware | None = None,
    override: bool = False,
) -> MapsJob:
    """Read the input, with its structures where a ``segmentation`` and its further images where ``channels`` are given
    by the model's names, and return a job that makes the outputs named in ``chosen``.

    ``chosen`` maps "reconstruction", "residual" and "anomaly" to the node to be written, None for a new one; what it
    doesn't name is not made. ``override`` is as in a ReconstructRequest. Raises UserError for an input that no model
    can take, and for a node that can't be the output.
    """
    node = checked_image(inputVolume)
    check_outputs(chosen.values(), node)
    volume = volume_from_node(node)
    if segmentation is not None:
        volume = volume.replace(masks=masks_from_node(segmentation, volume))
    request = ReconstructRequest(
        bundle=bundle,
        volume=volume,
        outputs=tuple(chosen),
        anomaly=anomaly or AnomalyOptions(),
        sample_seed=sampleSeed,
        hardware=hardware or Hardware(),
        override=override,
        channels=volumes_from_nodes(channels),
    )
    return MapsJob(request, InputNode.of(node, volume), dict(chosen))


def prepare_synthesis(
    bundle: Path,
    count: int,
    seed: int,
    *,
    temperature: float = 1.0,
    prior: str = "auto",
    hardware: Hardware | None = None,
) -> SynthesisJob[SynthesizeRequest]:
    """Return a job that adds ``count`` synthetic slices, each an independent draw, to ``slicer.mrmlScene``, the same
    ones for the same seed."""
    request = SynthesizeRequest(bundle, count, seed, temperature, hardware or Hardware(), prior)
    return SynthesisJob(request, slicer.mrmlScene)
