"""The patients of a library who are most like the one in the scene, in two halves like the work in ``scene.jobs``."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from ..core.engine import EncodedVolume, EncodeRequest, Hardware, Provenance
from ..core.errors import UserError
from ..core.manifest import Manifest, read_manifest
from ..core.patient_stacks import SliceStack
from ..core.progress import Cancel, Listener, ignore
from ..core.similarity import Posteriors
from ..core.volume import Volume
from ..library.access import load_site_key, open_library
from ..library.intake import standardised, structure_facts, target_of
from ..library.neighbours import By, Neighbour, Neighbours, Query, find_neighbours
from ..library.structure_geometry import plan_geometry_of
from . import hierarchy
from .additions import all_or_none
from .nodes import InputNode, SegmentationNode, VolumeNode
from .provenance import attributes_of, attributes_of_source, write_attributes
from .segmentations import masks_from_node
from .similarity_table import table_of
from .volumes import checked_image, volume_from_node, volumes_from_nodes, world_geometry

if TYPE_CHECKING:
    from ..library.selection import Selection
    from ..library.store import Library

RANKING = "similar patients"


@dataclasses.dataclass(frozen=True)
class RankingOptions:
    """How many patients are wanted, by what they are ranked, and who is considered; see ``library.neighbours``."""

    count: int = 10
    by: By = "kl"
    filters: "Selection | None" = None


@dataclasses.dataclass(frozen=True, eq=False)
class RankedPatients:
    """The answer: a table in the scene, and what stands behind it. ``volume`` is the query with its structures under
    standard names, ``notices`` are sentences for a person."""

    table: slicer.vtkMRMLTableNode
    neighbours: Neighbours
    input: InputNode
    volume: Volume
    library: Path | str
    notices: tuple[str, ...]

    def neighbour(self, pseudonym: str) -> Neighbour:
        """The ranked patient of that pseudonym. Raises UserError when it is not among them."""
        for one in self.neighbours.nearest:
            if one.pseudonym == pseudonym:
                return one
        raise UserError(f"{pseudonym} is not among the ranked patients; choose one from the table.")

    def check_query(self) -> None:
        """Raise UserError when the query is no longer where it was when it was compared."""
        node = self.input.node
        is_there = node.GetScene() is self.input.scene and node.GetImageData() is not None
        if not is_there or not world_geometry(node).matches(self.volume.geometry):
            raise UserError(
                f"'{self.volume.source.name}' was moved or removed since it was compared; find its similar patients "
                "again."
            )


@dataclasses.dataclass(frozen=True, eq=False)
class RankingJob:
    """See ``prepare_ranking``."""

    request: EncodeRequest
    input: InputNode
    volume: Volume
    patient_id: str
    library: Path | str
    key: Path | None
    options: RankingOptions
    notices: tuple[str, ...]

    def check_library(self) -> None:
        """Raise UserError for a library that can't be opened or holds posteriors of another model. It has no look at
        the scene, so that a thread beside the window may do it before the model computes."""
        with open_library(self.library) as library:
            refuse_other_model(library, read_manifest(self.request.bundle))

    def publish(
        self, encoded: EncodedVolume, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> RankedPatients:
        """Rank the library's patients and add the table beside the input.

        Raises UserError, with the scene as it was, where the input is no longer what it was, the library can't be
        searched or nobody is left; Cancelled.
        """
        self.input.check()
        return self.write(encoded, self.search(encoded, progress, cancel))

    def search(self, encoded: EncodedVolume, progress: Listener = ignore, cancel: Cancel | None = None) -> Neighbours:
        """Rank the library's patients, without a look at the scene, so that a thread beside the window may do it.

        Raises UserError where the library can't be searched or nobody is left; Cancelled.
        """
        with open_library(self.library, load_site_key(self.key) if self.key is not None else None) as library:
            refuse_other_posteriors(library, self.request.bundle, encoded.provenance)
            return find_neighbours(
                library,
                self._query(encoded),
                self.options.count,
                by=self.options.by,
                filters=self.options.filters,
                progress=progress,
                cancel=cancel,
            )

    def write(self, encoded: EncodedVolume, neighbours: Neighbours) -> RankedPatients:
        """Add the table beside the input. Raises UserError, with the scene as it was, where the input is no longer what
        it was."""
        self.input.check()
        table = self._add_table(encoded, neighbours)
        notices = [*self.notices, *encoded.notices, *neighbours.notices, *filter(None, [neighbours.unequal_fractions])]
        return RankedPatients(table, neighbours, self.input, self.volume, self.library, tuple(dict.fromkeys(notices)))

    def _query(self, encoded: EncodedVolume) -> Query:
        posteriors = Posteriors(encoded.mean, encoded.log_variance)
        stack = SliceStack(posteriors, encoded.positions_mm, encoded.position_origin)
        structures = structure_facts(self.volume, target_of(self.volume))
        return Query(stack, encoded.slice_positions_mm, plan_geometry_of(structures), self.patient_id)

    def _add_table(self, encoded: EncodedVolume, neighbours: Neighbours) -> slicer.vtkMRMLTableNode:
        source = self.input.volume.source
        with all_or_none(self.input.scene) as additions:
            table = additions.node("vtkMRMLTableNode", f"{source.name} {RANKING}")
            table.SetAndObserveTable(table_of(neighbours, len(encoded.mean)))
            table.SetUseFirstColumnAsRowHeader(False)
            table.SetLocked(True)
            origin = attributes_of_source(self.input.node.GetID(), source)
            write_attributes(table, attributes_of(RANKING, encoded.provenance) | origin)
            hierarchy.place(table, hierarchy.parent_item(self.input.node))
        return table


def prepare_ranking(
    inputVolume: VolumeNode | None,
    library: Path | str,
    bundle: Path,
    *,
    structures: SegmentationNode | None = None,
    channels: Mapping[str, VolumeNode] | None = None,
    key: Path | None = None,
    options: RankingOptions | None = None,
    hardware: Hardware | None = None,
) -> RankingJob:
    """Read the input, with its structures where a segmentation and its further images where ``channels`` are given by
    the model's names, and return the job whose request an engine encodes.

    ``library`` is the address of a library of this bundle's posteriors. With the site's ``key`` a patient who is in the
    library already is left out of the ranking. The library is not opened yet; see ``RankingJob.check_library``. Raises
    UserError for an input that no model can take.
    """
    node = checked_image(inputVolume)
    seen = volume_with_structures(node, structures)
    named, notices = standardised(seen)
    return RankingJob(
        request=request_to_encode(bundle, read_manifest(bundle), seen, channels, hardware),
        input=InputNode.of(node, seen),
        volume=named,
        patient_id=hierarchy.patient_id(node),
        library=library,
        key=key,
        options=options or RankingOptions(),
        notices=tuple(notices),
    )


def volume_with_structures(node: VolumeNode, structures: SegmentationNode | None) -> Volume:
    """The node's volume, with the masks of the segmentation where one is given."""
    volume = volume_from_node(node)
    return volume.replace(masks=masks_from_node(structures, volume)) if structures is not None else volume


def request_to_encode(
    bundle: Path,
    manifest: Manifest,
    volume: Volume,
    channels: Mapping[str, VolumeNode] | None,
    hardware: Hardware | None,
) -> EncodeRequest:
    """The request for the posteriors of a volume and its further images. Masks go along only to a model that sees
    structures."""
    seen = volume if manifest.preprocessing.structures else volume.replace(masks={})
    return EncodeRequest(bundle, seen, hardware or Hardware(), channels=volumes_from_nodes(channels))


def refuse_other_model(library: "Library", manifest: Manifest) -> None:
    """Raise UserError where the library holds posteriors of another model than that of the bundle."""
    held = library.description.bundle
    name, version, sha256 = manifest.name, manifest.version, manifest.encoder_checksum
    library.check_bundle(dataclasses.replace(held, name=name, version=version, sha256=sha256))


def refuse_other_posteriors(library: "Library", bundle: Path, made: Provenance) -> None:
    """Raise UserError where the library holds posteriors of another model than that of the bundle, or where this is no
    longer the one that ``made`` the posteriors."""
    manifest = read_manifest(bundle)
    if manifest.checksum != made.bundle_sha256:
        raise UserError(f"{bundle} was changed while the model computed; nothing was written, try again.")
    refuse_other_model(library, manifest)
