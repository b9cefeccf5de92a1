"""Opening DICOM RT objects: the right kind, whole, and found in folders."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement

from ..core.errors import UserError
from .dicom_headers import DAMAGE, files_in, looks_like_dicom
from .quiet import quiet

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn what goes wrong in the block into a UserError: ``path`` is damaged, so ``what`` ("its plan") can't be read,
    or the disk does not give it."""
    damage = UserError(f"{path} is damaged or cut off, so {what} can't be read; copy it anew.")
    try:
        with quiet():
            yield
    except (*DAMAGE, RuntimeError) as error:  # the latter from the decoders of pixels
        raise damage from error
    except OSError as error:
        if error.errno is None:  # pydicom's, for a file that ends within a tag
            raise damage from error
        raise UserError(f"{path} can't be read ({error.strerror or error}); check its name.") from error


def read_rt_object(path: Path, modality: str, tags: Sequence[str], what: str) -> pydicom.Dataset:
    """The elements ``tags`` of the DICOM file ``path``, which must be of ``modality`` ("RTPLAN").

    Raises UserError, calling what is expected ``what`` ("an RT plan"), for a file of another kind, and EOFError for one
    that is cut off. pydicom looks into values when they are asked for: the whole use belongs into ``reading``.
    """
    is_dicom = looks_like_dicom(path)
    # Planning systems write files without a preamble; looks_like_dicom has vetted them.
    dataset = pydicom.dcmread(path, specific_tags=["Modality", *tags], force=True) if is_dicom else pydicom.Dataset()
    if dataset.get("Modality") != modality:
        raise UserError(f"{path} is not {what}; give an {modality} file.")
    # pydicom reads what is left of a sequence without complaint, and items would be missing silently.
    for keyword in tags:
        element: Any = dataset.get_item(keyword) if keyword in dataset else None
        if isinstance(element, RawDataElement) and element.value and len(element.value) < element.length:
            raise EOFError(f"{keyword} is not complete")
    return dataset


def rt_files(where: Paths, modality: str) -> list[Path]:
    """The files of ``modality`` in the folder ``where`` at any depth, or the very files that it names.

    Raises UserError when there is none, or for a damaged DICOM file in the folder, which might be the one.
    """
    if not isinstance(where, str | os.PathLike):
        return [Path(path) for path in where]
    place = Path(where)
    if not place.exists():
        raise UserError(f"{place} does not exist; check its spelling.")
    if not place.is_dir():
        return [place]
    found = rt_files_in(place, modality)
    if not found:
        raise UserError(f"{place} holds no {modality} file; give the folder that has it.")
    return found


def rt_files_in(folder: Path, modality: str) -> list[Path]:
    """The files of ``modality`` in a folder at any depth, in order, none where there is none. Raises UserError for a
    damaged DICOM file, which might be one."""
    return [path for path in files_in(folder) if _modality(path) == modality]


def _modality(path: Path) -> str:
    with reading(path, "what it is"):
        if not looks_like_dicom(path):
            return ""
        return text(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"], force=True), "Modality")


def text(dataset: pydicom.Dataset, keyword: str) -> str:
    """An element as text without surrounding blanks, empty where it is absent or empty."""
    return str(dataset.get(keyword) or "").strip()


def number(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """An element as a number, None where it is absent or empty. Raises ValueError when it is something else."""
    value = dataset.get(keyword)
    return None if value is None or value == "" else float(value)


def integer(dataset: pydicom.Dataset, keyword: str) -> int | None:
    """An element as a whole number, None where it is absent or empty. Raises ValueError when it is something else."""
    value = number(dataset, keyword)
    return None if value is None else int(value)


def items(dataset: pydicom.Dataset, keyword: str) -> Sequence[pydicom.Dataset]:
    """The items of a sequence, none where it is absent or empty."""
    return dataset.get(keyword) or ()
