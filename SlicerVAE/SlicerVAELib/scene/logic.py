"""What SlicerVAE does to a scene, without a window: for scripts, tests, and the Slicer logic that delegates to it."""

from collections.abc import Sequence
from pathlib import Path

from ..core.engine import AnomalyOptions, Engine, Hardware
from ..core.progress import Cancel, Listener, ignore
from ..io.export.folders import Exported
from .dicom_export import export_nodes
from .jobs import MapNodes, MapsJob, prepare_maps, prepare_synthesis
from .nodes import SegmentationNode, VolumeNode
from .provenance import ANOMALY, RECONSTRUCTION, RESIDUAL


class SceneLogic:
    """Runs models of ``engine`` on nodes of ``slicer.mrmlScene``, waiting for each to finish.

    Whoever must not wait takes the two halves in ``scene.jobs`` and runs the request between them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def reconstruct(
        self,
        inputVolume: VolumeNode,
        bundle: Path | str,
        *,
        outputVolume: VolumeNode | None = None,
        residualVolume: VolumeNode | None = None,
        segmentation: SegmentationNode | None = None,
        sampleSeed: int | None = None,
        hardware: Hardware | None = None,
        progress: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> MapNodes:
        """Write the model's reconstruction of a volume and the residual (input − reconstruction), both in its units.

        New nodes are made where none is given. ``segmentation`` has the structures that some models see, by the names
        that the model gives them; what it is kept as makes no difference, nor does it change. ``sampleSeed`` None
        decodes the posterior mean, a number one seeded draw. Raises UserError for what a person can mend and Cancelled;
        the scene is then as it was.
        """
        chosen = {RECONSTRUCTION: outputVolume, RESIDUAL: residualVolume}
        job = prepare_maps(
            inputVolume, Path(bundle), chosen, segmentation=segmentation, sampleSeed=sampleSeed, hardware=hardware
        )
        return self._run(job, progress, cancel)

    def detectAnomalies(
        self,
        inputVolume: VolumeNode,
        bundle: Path | str,
        *,
        anomalyVolume: VolumeNode | None = None,
        segmentation: SegmentationNode | None = None,
        options: AnomalyOptions | None = None,
        hardware: Hardware | None = None,
        progress: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> MapNodes:
        """Write the map of what the model can't explain, −1 where it saw nothing; otherwise as ``reconstruct``."""
        job = prepare_maps(
            inputVolume,
            Path(bundle),
            {ANOMALY: anomalyVolume},
            segmentation=segmentation,
            anomaly=options,
            hardware=hardware,
        )
        return self._run(job, progress, cancel)

    def synthesize(
        self,
        bundle: Path | str,
        count: int = 16,
        seed: int = 0,
        *,
        temperature: float = 1.0,
        hardware: Hardware | None = None,
        progress: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> VolumeNode:
        """Add a volume of ``count`` synthetic slices with the bundle's pixel spacing, the same for the same seed."""
        job = prepare_synthesis(Path(bundle), count, seed, temperature=temperature, hardware=hardware)
        result = self._engine.synthesize(job.request, progress, cancel)
        return job.publish(result)

    def exportToDICOM(
        self,
        outputs: MapNodes | VolumeNode | Sequence[VolumeNode],
        folder: Path | str,
        *,
        source: Path | str | None = None,
        threshold: float | None = None,
    ) -> Exported:
        """Write outputs as DICOM files into the new or empty ``folder``; nothing is sent anywhere.

        The reconstruction becomes a derived series, maps become Parametric Maps and, with ``threshold`` in the anomaly
        map's unit, what lies above it a Segmentation; all refer to the input's series, whose files lie in the folder
        ``source`` or are those that Slicer's DICOM database knows. Synthetic slices become images of a fictitious
        patient. Raises UserError, with nothing written.
        """
        if isinstance(outputs, MapNodes):
            nodes = [node for node in (outputs.reconstruction, outputs.residual, outputs.anomaly) if node is not None]
        else:
            nodes = list(outputs) if isinstance(outputs, Sequence) else [outputs]
        place = Path(source) if source is not None else None
        return export_nodes(nodes, Path(folder), source=place, threshold=threshold)

    def close(self) -> None:
        """Release what the engine holds."""
        self._engine.close()

    def _run(self, job: MapsJob, progress: Listener, cancel: Cancel | None) -> MapNodes:
        result = self._engine.reconstruct(job.request, progress, cancel)
        return job.publish(result)
