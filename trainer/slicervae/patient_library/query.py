"""The patient who is compared with a library, as the files show them."""

import dataclasses
from pathlib import Path

import numpy as np

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.patient_stacks import SliceStack
from SlicerVAELib.core.progress import Cancel, Listener
from SlicerVAELib.core.similarity import Posteriors
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.discover import Found
from SlicerVAELib.library.neighbours import Query
from SlicerVAELib.library.structure_geometry import plan_geometry_of
from SlicerVAELib.library.thumbnails import slice_png

from .patients import patients_in
from .preparation import PreparedSeries, Settings, prepare_series

_MOST_LISTED = 20


@dataclasses.dataclass(frozen=True, eq=False)
class QueryPatient:
    """A patient's image, structures and plan. ``patient_id`` is as the image says, to know the patient again."""

    patient_id: str
    series: PreparedSeries

    @property
    def as_query(self) -> Query:
        """What a library is searched for."""
        posteriors = self.series.record.posteriors
        stack = SliceStack(
            Posteriors(posteriors.mean, posteriors.log_variance), posteriors.positions_mm, posteriors.origin
        )
        geometry = plan_geometry_of(self.series.record.facts.structures)
        return Query(stack, posteriors.slice_positions_mm, geometry, self.patient_id)

    @property
    def shown_slice(self) -> int:
        """The slice that shows most: at the middle of the target, or in the middle of the image."""
        structures = {structure.name: structure for structure in self.series.record.facts.structures}
        superior = self.series.record.posteriors.slice_positions_mm[:, 2]
        target = structures.get(self.series.target)
        level = target.centroid_mm[2] if target is not None else float(np.median(superior))
        return int(np.abs(superior - level).argmin())

    def picture(self, settings: Settings) -> bytes:
        """That slice as PNG, as thumbnails of the library are made."""
        preprocessing = read_manifest(settings.bundle).preprocessing
        centre = self.series.record.posteriors.slice_positions_mm[self.shown_slice]
        window = preprocessing.intensity.window(self.series.volume.array)
        return slice_png(self.series.volume, centre, preprocessing.field_of_view_mm, window)


def read_query(
    root: Path, series: str | None, modality: Modality, settings: Settings, progress: Listener, cancel: Cancel
) -> QueryPatient:
    """Read and encode the one image in ``root``, or that whose UID ends with ``series``.

    Raises UserError where there are several, with a list, or none, Cancelled.
    """
    patients = patients_in(root, modality, progress, cancel)
    candidates = [
        (patient, image)
        for patient in patients
        for image in patient.images
        if series is None or image.series.endswith(series)
    ]
    if not candidates:
        raise UserError(f"{settings.source} holds no image whose UID ends with '{series}'; check --series.")
    if len(candidates) > 1:
        listing = "\n".join(_row(image) for _, image in candidates[:_MOST_LISTED])
        raise UserError(
            f"{settings.source} holds {len(candidates)} images; give the folder of one, or choose by --series:\n"
            + listing
        )
    ((patient, image),) = candidates
    return QueryPatient(patient.patient_id, prepare_series(image, patient.folder, settings, progress, cancel))


def _row(image: Found) -> str:
    uid = f", UID …{image.series[-10:]}" if image.series else ""
    return f"  {image.path}: '{image.description}'{uid}"
