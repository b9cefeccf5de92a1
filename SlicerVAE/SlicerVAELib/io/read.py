"""Reading a volume from whatever a person points at."""

import os
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from ..core.modality import infer_modality
from ..core.volume import Modality, Source, Volume
from . import dicom
from .dicom_headers import looks_like_dicom
from .images import PICTURES, VOLUME_FILES, ending, read_image, stem
from .quiet import quiet
from .values import refuse_unusable


def read_volume(path: str | os.PathLike[str], *, series: str | None = None, modality: Modality | None = None) -> Volume:
    """Read the volume at ``path``: a folder with a DICOM series or one file of it, NIfTI, NRRD or MetaImage.

    ``series`` chooses among the DICOM series of a folder: a UID or its end, a series number, or a description.
    ``modality`` overrides what the file says; where neither says anything it is inferred from the values, and the
    volume's ``modality_is_inferred`` tells so. Values keep their stored type where they can: CT is in Hounsfield units.

    Raises UserError, in one sentence that names the file, for anything that is not one complete volume.
    """
    place = Path(path)
    try:
        if not place.exists():
            raise UserError(f"{place} does not exist; check its spelling.")
        with quiet():
            volume = _read(place, series)
    except OSError as error:
        raise UserError(f"{error.filename or place} can't be read ({error.strerror or error}).") from error
    except MemoryError as error:
        raise UserError(f"{place} does not fit into memory; close other programs or give a smaller volume.") from error
    refuse_unusable(volume.array, str(place))
    if modality is not None:
        return volume.replace(modality=modality)
    if volume.source.series_uid:
        return volume
    return volume.replace(modality=infer_modality(volume.array), modality_is_inferred=True)


def _read(path: Path, series: str | None) -> Volume:
    if path.is_dir():
        return dicom.read_folder(path, series)
    if not path.is_file():
        raise UserError(f"{path} is neither a file nor a folder; give a DICOM folder, NIfTI, NRRD or MetaImage.")
    if ending(path, VOLUME_FILES):
        if series is not None:
            raise UserError(f"{path} is one volume without series; leave --series out.")
        array, geometry = read_image(path)
        return Volume(np.ascontiguousarray(array), geometry, source=Source(name=stem(path), path=str(path)))
    if ending(path, PICTURES):
        raise UserError(f"{path} is a flat picture, but a volume is needed; give a DICOM folder, NIfTI or NRRD.")
    if path.suffix.lower() == ".dcm" or looks_like_dicom(path):
        return dicom.read_file(path, series)
    raise UserError(
        f"{path} is of a kind that can't be read; give a DICOM folder, NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr) or "
        "MetaImage (.mha, .mhd)."
    )
