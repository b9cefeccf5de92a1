"""What anomaly maps are tried on: volumes in which it is known where the anomaly lies."""

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.preprocessing import Preprocessing
from SlicerVAELib.core.resampling import resample
from SlicerVAELib.core.stack import body_within
from SlicerVAELib.core.volume import Volume
from SlicerVAELib.io.companions import is_label_map

from ..data.cohort import find
from ..data.study import Study
from ..recipe import DataSettings
from .objects import insert_objects


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """``volume`` with the anomaly in it; ``truth`` (K, J, I) is where that lies, ``body`` (K, J, I) where anything is
    looked for: within the patient."""

    patient: str
    name: str
    volume: Volume
    truth: np.ndarray
    body: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class CaseFile:
    """A case that is still in its files; ``read`` may raise UserError."""

    patient: str
    name: str
    read: Callable[[], Case]


def lesion_cases(
    data: Path, settings: DataSettings, truth: Sequence[str], preprocessing: Preprocessing
) -> list[CaseFile]:
    """Cases of a folder whose truth is what structures or label maps like the patterns ``truth`` mark; a study without
    any such is a healthy one. Raises UserError where there are no studies, and where none has any masks."""
    marking = dataclasses.replace(settings, leave_out=list(truth))

    def reader(study: Study) -> Callable[[], Case]:
        def read() -> Case:
            volume, marked = study.read(marking)
            nowhere = np.zeros(volume.array.shape, dtype=bool)
            return _case(study, volume, nowhere if marked is None else marked, preprocessing)

        return read

    studies = find(data, marking)[0]
    if not any(study.mask_files for study in studies):
        loose = next((path.name for path in sorted(data.glob("*")) if is_label_map(path, data)), "")
        raise UserError(
            f"No volume in {data} has a structure set or label map, so there is nothing to find; "
            + (
                f"directly in a data folder each volume is a patient of its own, so give '{loose}' a name that begins "
                "with its volume's, or name the folder above."
                if loose
                else "put each patient's beside the volume."
            )
        )
    return [CaseFile(study.patient, study.name, reader(study)) for study in studies]


def object_cases(
    data: Path, settings: DataSettings, seed: int, contrasts: Sequence[str], preprocessing: Preprocessing
) -> list[CaseFile]:
    """Cases of a folder of healthy patients with foreign objects of such ``contrasts``, which follow from ``seed`` and
    the study's name. Raises UserError where there are no studies."""

    def reader(study: Study) -> Callable[[], Case]:
        def read() -> Case:
            volume, _ = study.read(settings)
            window = preprocessing.intensity.window(volume.array)
            own_seed = zlib.crc32(study.name.encode(), seed & 0xFFFFFFFF)
            body = body_in(volume, preprocessing)
            inserted = insert_objects(volume, body, window, preprocessing.plane, own_seed, contrasts)
            changed = inserted.volume.replace(masks=volume.masks)
            return _case(study, changed, inserted.truth, preprocessing)

        return read

    return [CaseFile(study.patient, study.name, reader(study)) for study in find(data, settings)[0]]


def body_in(volume: Volume, preprocessing: Preprocessing) -> np.ndarray:
    """Where the patient is, (K, J, I), after ``core.body``."""
    body, grid = body_within(volume, preprocessing.intensity.window(volume.array))
    return resample(body, grid, volume.geometry, fill=0.0).numpy() > 0.5


def split_for_threshold(cases: Sequence[CaseFile], validation: Sequence[str]) -> tuple[list[CaseFile], list[CaseFile]]:
    """Those on which thresholds are chosen and those to test on, told apart by patient. Without patients named in
    ``validation`` every third one, in the order of their names, chooses; one or two patients leave nobody to choose."""
    patients = sorted({case.patient for case in cases})
    unknown = sorted(set(validation) - set(patients))
    if unknown:
        raise UserError(
            f"There is no patient '{unknown[0]}' to choose a threshold on; there are {', '.join(patients)}."
        )
    choosing = set(validation) or (set(patients[::3]) if len(patients) > 2 else set())
    if choosing == set(patients):
        raise UserError("Every patient is named for choosing thresholds; leave some to test on.")
    return [case for case in cases if case.patient in choosing], [
        case for case in cases if case.patient not in choosing
    ]


def _case(study: Study, volume: Volume, truth: np.ndarray, preprocessing: Preprocessing) -> Case:
    return Case(study.patient, study.name, volume, truth, body_in(volume, preprocessing))
