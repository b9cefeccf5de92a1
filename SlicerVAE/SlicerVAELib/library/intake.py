"""From a patient's image, structures, plan and dose, and the model's posteriors, to what the library keeps."""

from collections.abc import Iterable

import numpy as np

from ..core.dvh import dvhs
from ..core.engine import EncodedVolume
from ..core.errors import UserError
from ..core.planning_similarity import plan_geometry
from ..core.structure_names import StructureNames
from ..core.volume import LPS_TO_RAS, Geometry, Volume
from .records import (
    DoseFacts,
    PosteriorStack,
    SeriesFacts,
    SeriesIdentity,
    SeriesRecord,
    StructureFacts,
    Thumbnail,
)
from .structure_geometry import StructureGeometry, extent_mm

BIN_WIDTH_GY = 0.1
LATERAL_MM = 20.0  # a target's centroid nearer than this to the body's is on neither side
_TARGETS = ("PTV", "CTV", "GTV")  # which of them are compared first
_NO_ORGANS = ("External", "Couch")


def standardised(volume: Volume, names: StructureNames | None = None) -> tuple[Volume, tuple[str, ...]]:
    """The volume with those of its structures that have a standard name and a voxel, under that name, and sentences
    about the others. The clinic's own names are dropped, because they may name the patient."""
    names = names or StructureNames()
    matched = names.matched(volume.masks)
    masks = {
        standard: volume.masks[name] for name, standard in matched.items() if standard and volume.masks[name].any()
    }
    notices = list(names.doubts(volume.masks))
    if unknown := [name for name in matched if names.standard(name) is None]:
        notices.append(f"Without a standard name, and so left out: {', '.join(unknown)}.")
    return volume.replace(masks=masks), tuple(notices)


def series_identity(volume: Volume, place: str = "") -> SeriesIdentity:
    """What tells the series from others; ``place`` is where it loads from, by default the path it was read from."""
    source = volume.source
    return SeriesIdentity(source.series_uid, source.study_uid, source.frame_of_reference_uid, place or source.path)


def posterior_stack(encoded: EncodedVolume) -> PosteriorStack:
    """The posteriors as they are kept."""
    return PosteriorStack(
        mean=encoded.mean,
        log_variance=encoded.log_variance,
        positions_mm=encoded.positions_mm,
        origin=encoded.position_origin,
        slice_positions_mm=encoded.slice_positions_mm,
    )


def series_record(
    volume: Volume,
    encoded: EncodedVolume,
    doses: Iterable[DoseFacts] = (),
    *,
    patient_position: str = "",
    thumbnails: tuple[Thumbnail, ...] = (),
) -> SeriesRecord:
    """The record of a series whose structures have standard names; ``doses`` tell the target among several."""
    facts = SeriesFacts(
        modality=str(volume.modality),
        body_part=volume.source.body_part,
        geometry=volume.geometry,
        patient_position=patient_position,
        structures=structure_facts(volume, target_of(volume, doses)),
    )
    return SeriesRecord(facts, posterior_stack(encoded), thumbnails)


def target_of(volume: Volume, doses: Iterable[DoseFacts] = ()) -> str:
    """Standard name of the structure that was planned on, empty where there is none: a PTV, otherwise CTV or GTV; of
    several that with the highest mean dose, and without doses the largest."""
    means = {dose.structure: dose.statistics.mean_gy for dose in doses}
    for kind in _TARGETS:
        if candidates := [name for name in volume.masks if name.startswith(kind)]:
            return max(candidates, key=lambda name: (means.get(name, 0.0), int(volume.masks[name].sum()), name))
    return ""


def is_target(standard_name: str) -> bool:
    """Whether the structure of this standard name is planned on, rather than an organ or the body."""
    return standard_name.startswith(_TARGETS)


def structure_facts(volume: Volume, target: str) -> tuple[StructureFacts, ...]:
    """The facts of all structures of the volume; organs are compared with ``target`` where it is not empty."""
    organs = [name for name in volume.masks if not (is_target(name) or name.startswith(_NO_ORGANS))]
    beside = {organ.name: organ for organ in plan_geometry(volume, target, organs).organs} if target and organs else {}
    return tuple(
        StructureFacts(
            name=name,
            volume_cm3=float(np.count_nonzero(mask) * volume.geometry.voxel_volume_cm3),
            centroid_mm=centroid_lps_mm(mask, volume.geometry),
            plan_geometry=StructureGeometry(extent_mm(mask, volume.geometry), target, beside.get(name)).to_bytes(),
        )
        for name, mask in volume.masks.items()
    )


def dose_facts(volume: Volume, dose: np.ndarray) -> tuple[DoseFacts, ...]:
    """Figures and histogram of each structure that ``dose`` covers in part, gray (K, J, I) on the volume's grid, NaN
    where there is none (``core.dose.dose_on``)."""
    found = dvhs(dose, volume.masks, volume.geometry.voxel_volume_cm3)
    return tuple(
        DoseFacts(name, histogram.statistics(), histogram.curve(BIN_WIDTH_GY)) for name, histogram in found.items()
    )


def side_of_target(series: SeriesFacts, target: str) -> str:
    """ "left" or "right" of the body's own middle, empty where the target lies near it or no body is contoured."""
    lateral = {structure.name: structure.centroid_mm[0] for structure in series.structures}
    if target not in lateral or "External" not in lateral:
        return ""
    offset = lateral[target] - lateral["External"]  # LPS: towards the patient's left
    if abs(offset) < LATERAL_MM:
        return ""
    return "left" if offset > 0 else "right"


def centroid_lps_mm(mask: np.ndarray, geometry: Geometry) -> tuple[float, float, float]:
    """Centroid of a mask (K, J, I) in LPS mm. Raises UserError for an empty one."""
    count = int(np.count_nonzero(mask))
    if count == 0:
        raise UserError("A structure without a voxel has no centre; contour it or leave it out.")
    middle = [
        float(np.arange(size) @ mask.sum(axis=tuple({0, 1, 2} - {axis}))) / count
        for axis, size in enumerate(mask.shape)
    ]
    left, posterior, superior, _ = LPS_TO_RAS @ geometry.ijk_to_ras @ np.array([*middle[::-1], 1.0])
    return float(left), float(posterior), float(superior)
