"""The facts of one volume: from its headers, and from its pixels where they are read."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Geometry, Modality, Volume
from SlicerVAELib.io.discover import Found
from SlicerVAELib.io.images import NIFTI, VOLUME_FILES, ending
from SlicerVAELib.io.picture import PICTURES

from .findings import Intensities, VolumeFacts, within
from .grids import about_gaps, grid_of_file, grid_of_slices, heights_of, plane_of
from .objects import DicomObject

_SAMPLES = 1_000_000  # voxels that percentiles are taken from


@dataclasses.dataclass(frozen=True)
class Seen:
    """A volume with its facts; ``slices`` are the headers of a DICOM series, ``digest`` is the SHA-256 of its
    values, empty when they were not read; ``gaps`` is then what is wrong with the distances of slices."""

    found: Found
    facts: VolumeFacts
    slices: tuple[DicomObject, ...]
    gaps: str
    digest: str


def look_at(
    found: Found, number: int, root: Path, objects: Mapping[Path, DicomObject], volume: Volume | UserError | None
) -> Seen:
    """The facts of ``found``, of which ``volume`` was read, or could not be, or (None) was not asked for."""
    slices = tuple(objects[path] for path in found.files if path in objects)
    heights = heights_of(slices) if slices and volume is None else None
    geometry: Geometry | None
    if isinstance(volume, Volume):
        geometry = volume.geometry
    else:
        geometry = grid_of_slices(slices) if slices else None if found.series else grid_of_file(found.path)
    facts = VolumeFacts(
        number=number,
        path=within(found.path, root),
        format=_format_of(found),
        description=found.description,
        part=found.part,
        modality=(volume if isinstance(volume, Volume) else found).modality.value,
        modality_is_inferred=isinstance(volume, Volume) and volume.modality_is_inferred,
        files=len(found.files),
        size=None if geometry is None else (geometry.shape[2], geometry.shape[1], geometry.shape[0]),
        spacing_mm=None if geometry is None else _rounded(geometry.spacing),
        plane=_plane(found, geometry),
        field_of_view_mm=None if geometry is None else _rounded(geometry.spacing * geometry.shape[::-1]),
        intensities=_intensities(volume) if isinstance(volume, Volume) else None,
        tube_voltage_kv=next((item.kv for item in slices if item.kv is not None), None),
        contrast_agent=next((item.contrast_agent for item in slices if item.contrast_agent), ""),
        study_uid=found.study,
        series_uid=found.series,
        label_maps=tuple(within(path, root) for path in found.mask_files if ending(path, VOLUME_FILES)),
        notes=volume.source.notes if isinstance(volume, Volume) else (),
        trouble=str(volume).replace(f"{root}/", "") if isinstance(volume, UserError) else "",
    )
    gaps = "" if heights is None else about_gaps(heights)
    return Seen(found, facts, slices, gaps, _digest(volume.array) if isinstance(volume, Volume) else "")


def _plane(found: Found, geometry: Geometry | None) -> str:
    if found.modality is Modality.XRAY:
        return "2-D"
    return "" if geometry is None else plane_of(geometry)


def _format_of(found: Found) -> str:
    if found.series:
        return "DICOM"
    if ending(found.path, NIFTI):
        return "NIfTI"
    if ending(found.path, PICTURES):
        return "PNG" if ending(found.path, (".png",)) else "JPEG"
    return "NRRD" if ending(found.path, (".nrrd", ".nhdr")) else "MetaImage"


def _rounded(values: np.ndarray) -> tuple[float, float, float]:
    i, j, k = (round(float(value), 4) for value in values)
    return i, j, k


def _intensities(volume: Volume) -> Intensities:
    values = volume.array.reshape(-1)
    low, high = np.percentile(values[:: max(1, values.size // _SAMPLES)], (1, 99))
    ends = (float(values.min()), float(values.max()), float(low), float(high))
    lowest, highest, low, high = (float(f"{end:.6g}") for end in ends)
    return Intensities(lowest, highest, low, high, volume.modality.unit)


def _digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(repr((array.shape, array.dtype.str)).encode())
    for plane in array:
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()
