"""What SlicerVAE does to a scene, without a window: for scripts, tests, and the Slicer logic that delegates to it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.engine import AnomalyOptions, Engine, Hardware
from ..core.progress import Cancel, Listener, ignore, part_of
from ..io.export.folders import Exported
from ..library.neighbours import By
from ..library.records import PlanFacts
from .dicom_export import export_nodes
from .dvh_plots import DvhPlot, Fractionation, doses_of, plot_dvhs
from .jobs import MapNodes, MapsJob, prepare_maps, prepare_synthesis
from .library_addition import AddedPatient, prepare_addition
from .neighbour_nodes import SimilarPatientNodes, load_similar_patient
from .nodes import SegmentationNode, VolumeNode
from .provenance import ANOMALY, RECONSTRUCTION, RESIDUAL
from .similar_patients import RankedPatients, RankingOptions, prepare_ranking
from .volumes import volume_from_node

if TYPE_CHECKING:
    from ..library.selection import Selection


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
        channels: Mapping[str, VolumeNode] | None = None,
        sampleSeed: int | None = None,
        hardware: Hardware | None = None,
        override: bool = False,
        progress: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> MapNodes:
        """Write the model's reconstruction of a volume and the residual (input − reconstruction), both in its units.

        New nodes are made where none is given. ``segmentation`` has the structures that some models see, by the names
        that the model gives them; what it is kept as makes no difference, nor does it change. ``channels`` are the
        further images that some models see, likewise, registered with the input on whatever grids. ``sampleSeed`` None
        decodes the posterior mean, a number one seeded draw. ``override`` lets a demonstration
        model look at a patient. Raises UserError for what a person can mend and Cancelled;
        the scene is then as it was.
        """
        chosen = {RECONSTRUCTION: outputVolume, RESIDUAL: residualVolume}
        job = prepare_maps(
            inputVolume,
            Path(bundle),
            chosen,
            segmentation=segmentation,
            channels=channels,
            sampleSeed=sampleSeed,
            hardware=hardware,
            override=override,
        )
        return self._run(job, progress, cancel)

    def detectAnomalies(
        self,
        inputVolume: VolumeNode,
        bundle: Path | str,
        *,
        anomalyVolume: VolumeNode | None = None,
        segmentation: SegmentationNode | None = None,
        channels: Mapping[str, VolumeNode] | None = None,
        options: AnomalyOptions | None = None,
        hardware: Hardware | None = None,
        override: bool = False,
        progress: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> MapNodes:
        """Write the map of what the model can't explain, marked where it saw nothing (see ``core.engine``); otherwise
        as ``reconstruct``."""
        job = prepare_maps(
            inputVolume,
            Path(bundle),
            {ANOMALY: anomalyVolume},
            segmentation=segmentation,
            channels=channels,
            anomaly=options,
            hardware=hardware,
            override=override,
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

    def rankSimilarPatients(
        self,
        inputVolume: VolumeNode,
        library: Path | str,
        structures: SegmentationNode | None = None,
        *,
        bundle: Path | str,
        count: int = 10,
        by: By = "kl",
        filters: "Selection | None" = None,
        channels: Mapping[str, VolumeNode] | None = None,
        key: Path | str | None = None,
        hardware: Hardware | None = None,
        progress: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> RankedPatients:
        """Find the patients of a library who are most like this one, as a table in the scene.

        ``structures`` are needed to rank ``by`` "geometry" or "both"; ``filters`` is a ``library.selection.Selection``.
        With the file of the site's ``key`` a patient who is in the library too is left out. Raises UserError, with the
        scene as it was, and Cancelled.
        """
        job = prepare_ranking(
            inputVolume,
            library,
            Path(bundle),
            structures=structures,
            channels=channels,
            key=_path(key),
            options=RankingOptions(count, by, filters),
            hardware=hardware,
        )
        job.check_library()
        encoded = self._engine.encode(job.request, part_of(progress, 0.0, 0.6), cancel)
        return job.publish(encoded, part_of(progress, 0.6, 1.0), cancel)

    def loadSimilarPatient(
        self,
        ranking: RankedPatients,
        pseudonym: str,
        key: Path | str | None = None,
        *,
        reason: str,
        progress: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> SimilarPatientNodes:
        """Load a ranked patient's images, structures and dose beside the query, moved so that the same levels agree.

        The library notes who asked, and the ``reason``. Raises UserError, with the scene as it was, and Cancelled.
        """
        return load_similar_patient(ranking, pseudonym, _path(key), reason, progress=progress, cancel=cancel)

    def dvhPlot(
        self,
        ranking: RankedPatients,
        structures: Sequence[str] = (),
        *,
        dose: VolumeNode | None = None,
        equivalent: Fractionation | None = None,
    ) -> DvhPlot:
        """Plot the dose–volume histograms of the ranked patients and, with ``dose``, of this one: physical doses, or
        EQD2 with ``equivalent``. Raises UserError, with the scene as it was."""
        own = doses_of(ranking, volume_from_node(dose)) if dose is not None else ()
        return plot_dvhs(ranking, structures, own=own, equivalent=equivalent)

    def addToLibrary(
        self,
        inputVolume: VolumeNode,
        library: Path | str,
        segmentation: SegmentationNode | None = None,
        dose: VolumeNode | None = None,
        plan: PlanFacts | None = None,
        *,
        bundle: Path | str,
        channels: Mapping[str, VolumeNode] | None = None,
        key: Path | str | None = None,
        imagesFrom: Path | str | None = None,
        bodyPart: str | None = None,
        tags: Sequence[str] = (),
        hardware: Hardware | None = None,
        progress: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> AddedPatient:
        """Add the patient of this volume to a library; see ``scene.library_addition.prepare_addition``.

        Raises UserError, with the library as it was, and Cancelled.
        """
        job = prepare_addition(
            inputVolume,
            library,
            Path(bundle),
            segmentation=segmentation,
            channels=channels,
            dose=dose,
            plan=plan,
            key=_path(key),
            imagesFrom=imagesFrom,
            bodyPart=bodyPart,
            tags=tags,
            hardware=hardware,
        )
        job.check_library()
        return job.publish(self._engine.encode(job.request, progress, cancel))

    def close(self) -> None:
        """Release what the engine holds."""
        self._engine.close()

    def _run(self, job: MapsJob, progress: Listener, cancel: Cancel | None) -> MapNodes:
        result = self._engine.reconstruct(job.request, progress, cancel)
        return job.publish(result)


def _path(given: Path | str | None) -> Path | None:
    return Path(given) if given is not None else None
