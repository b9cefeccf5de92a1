"""Reading a volume from whatever a person points at."""

import os
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from ..core.modality import infer_modality
from ..core.volume import Modality, Source, Volume
from . import dicom
from .dicom_headers import looks_like_dicom
from .images import VOLUME_FILES, ending, read_noted_image, stem
from .picture import OTHER_PICTURES, PICTURES, SPACING_NOTE, read_picture
from .quiet import quiet
from .values import refuse_unusable


def read_volume(
    path: str | os.PathLike[str],
    *,
    series: str | None = None,
    frame: int | None = None,
    modality: Modality | None = None,
) -> Volume:
    """Read the volume at ``path``: a folder with a DICOM series or one file of it, NIfTI, NRRD, MetaImage, or a grey
    PNG or JPEG picture.

    ``series`` chooses among the DICOM series of a folder: a UID or its end, a series number, or a description, and
    behind a comma the part of a series that holds several volumes ("3, echo 2"). ``frame``, from 1, chooses from a
    NIfTI time series. ``modality`` overrides what the file says; where neither says anything it is inferred from the
    values, and the volume's ``modality_is_inferred`` tells so. Values keep their stored type where they can: CT is in
    Hounsfield units. Projections and pictures are volumes of one slice. What was done to the values or is doubtful
    about them stands in the source's ``notes``.

    Raises UserError, in one sentence that names the file, for anything that is not one complete volume.
    """
    place = Path(path)
    try:
        if not place.exists():
            raise UserError(f"{place} does not exist; check its spelling.")
        with quiet():
            volume = _read(place, series, frame)
    except OSError as error:
        raise UserError(f"{error.filename or place} can't be read ({error.strerror or error}).") from error
    except MemoryError as error:
        raise UserError(f"{place} does not fit into memory; close other programs or give a smaller volume.") from error
    if modality is not None:
        volume = volume.replace(modality=modality)
    refuse_unusable(volume.array, str(place), volume.modality)
    if volume.source.series_uid or volume.modality is not Modality.UNKNOWN or modality is not None:
        return volume
    return volume.replace(modality=infer_modality(volume.array), modality_is_inferred=True)


def _read(path: Path, series: str | None, frame: int | None) -> Volume:
    is_volume, is_picture = ending(path, VOLUME_FILES), ending(path, PICTURES)
    if not path.is_dir() and not path.is_file():
        raise UserError(f"{path} is neither a file nor a folder; give a DICOM folder, NIfTI, NRRD or MetaImage.")
    if path.is_file() and (is_volume or is_picture):
        if series is not None:
            raise UserError(f"{path} is one volume without series; leave --series out.")
        return _read_image(path, frame) if is_volume else _read_picture(path, frame)
    if frame is not None:
        raise UserError(f"{path} has no frames to choose from; leave --frame out.")
    if path.is_dir():
        return dicom.read_folder(path, series)
    if ending(path, OTHER_PICTURES):
        raise UserError(f"{path} is a picture of a kind that can't be read; save it as grey PNG.")
    if path.suffix.lower() == ".dcm" or looks_like_dicom(path):
        return dicom.read_file(path, series)
    raise UserError(
        f"{path} is of a kind that can't be read; give a DICOM folder, NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr) or "
        "MetaImage (.mha, .mhd)."
    )


def _read_image(path: Path, frame: int | None) -> Volume:
    array, geometry, notes = read_noted_image(path, frame)
    name = stem(path) if frame is None else f"{stem(path)} frame {frame}"
    return Volume(np.ascontiguousarray(array), geometry, source=Source(name=name, path=str(path), notes=notes))


def _read_picture(path: Path, frame: int | None) -> Volume:
    if frame is not None:
        raise UserError(f"{path} is one picture without frames; leave --frame out.")
    array, geometry = read_picture(path)
    source = Source(name=stem(path), path=str(path), notes=(SPACING_NOTE,))
    return Volume(array, geometry, modality=Modality.XRAY, source=source)
