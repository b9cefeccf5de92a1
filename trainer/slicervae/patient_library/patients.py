"""The patients of a data folder, and what was planned on each of their images."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom

from SlicerVAELib.core.errors import UserError, continued
from SlicerVAELib.core.progress import Cancel, Listener
from SlicerVAELib.core.volume import Modality, Volume
from SlicerVAELib.io.dicomweb_address import is_address, parse_address
from SlicerVAELib.io.discover import Found, discover
from SlicerVAELib.io.quiet import quiet
from SlicerVAELib.io.structures import DrawnElsewhereError, read_structures
from SlicerVAELib.io.treatment import Treatment, read_treatment


@dataclasses.dataclass(frozen=True)
class Patient:
    """A patient's images; ``folder`` holds all files of this patient and, where folders are mixed, others' too."""

    patient_id: str
    folder: Path
    images: tuple[Found, ...]


def patients_in(root: Path, modality: Modality, progress: Listener, cancel: Cancel) -> list[Patient]:
    """The patients with images that a model of this modality may take, in a fixed order.

    Raises UserError where there is none, Cancelled.
    """
    found = discover(root, progress=progress, cancel=cancel)
    usable = [item for item in found if item.modality in (modality, Modality.UNKNOWN)]
    if not usable:
        kinds = ", ".join(sorted({str(item.modality) for item in found}))
        raise UserError(f"{root} holds no {modality} image but {kinds}; give a folder that does, or another model.")
    owners: dict[Path, set[str]] = defaultdict(set)
    for item in found:
        for folder in (item.folder, *item.folder.parents):
            owners[folder].add(item.patient)
    by_patient: dict[str, list[Found]] = defaultdict(list)
    for item in usable:
        by_patient[item.patient].append(item)
    return [
        Patient(name, _own_folder(items[0].folder, root, owners), tuple(items)) for name, items in by_patient.items()
    ]


def _own_folder(innermost: Path, root: Path, owners: dict[Path, set[str]]) -> Path:
    """The outermost folder within ``root`` that holds images of no other patient: RT files lie beside or around."""
    folder = innermost
    while folder != root and len(owners[folder.parent]) == 1:
        folder = folder.parent
    return folder


def treatment_of(image: Found, folder: Path) -> Treatment:
    """The image with the structures, plan and dose that belong to it, the approved plan where there are several.

    Where it can't be told which plan, dose or structure set is meant, or one is damaged, the image comes without plan
    and dose, and a notice says why. Raises UserError for an image that can't be read.
    """
    if not image.series:
        return _with_contours(image.read(), image.mask_files, ())
    try:
        return read_treatment(folder, series=f"{image.series}, {image.part}" if image.part else image.series)
    except UserError as error:
        volume = image.read()
        reason = continued(str(error).partition("\n")[0].rstrip(".:"))
        return _with_contours(volume, image.mask_files, (f"Taken without plan and dose: {reason}.",))


def _with_contours(volume: Volume, files: Sequence[Path], notices: tuple[str, ...]) -> Treatment:
    drawn: dict[Path, dict[str, np.ndarray]] = {}
    for path in files:
        try:
            drawn[path] = read_structures(path, volume)
        except DrawnElsewhereError:
            continue
        except UserError as error:
            notices = (*notices, str(error))
    if len(drawn) > 1:
        notices = (*notices, f"{len(drawn)} sets of structures were drawn on it, and none was taken.")
        drawn = {}
    chosen = next(iter(drawn), None)
    return Treatment(volume.replace(masks=drawn[chosen] if chosen else {}), chosen, None, None, notices)


def patient_position(image: Found) -> str:
    """DICOM's PatientPosition (HFS, …), empty where the image does not say."""
    if not image.series:
        return ""
    with quiet():
        header = pydicom.dcmread(image.files[0], stop_before_pixels=True, specific_tags=["PatientPosition"], force=True)
    return str(header.get("PatientPosition") or "").strip()


def place_of(image: Found, source: str) -> str:
    """Where the image loads from again, when ``source`` was given: its own path, or its address on a server."""
    if not is_address(source):
        return str(image.path.absolute())
    return str(dataclasses.replace(parse_address(source), series=image.series))
