"""A cohort of phantom patients on disk, which can be interrupted and completed."""

import contextlib
import csv
import dataclasses
import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel, Listener, Progress, ignore
from SlicerVAELib.core.records import from_data, to_data
from SlicerVAELib.io.write import write_bytes_atomically, write_volume

from .constants import PHANTOM_VERSION
from .dicom_ct import write_ct
from .dicom_rt import write_dose, write_plan, write_structures
from .lesions import LesionPolicy
from .patient import PhantomPatient, check_sizes, make_patient
from .plan import make_plan
from .uids import identifier_of

COHORT_FILE = "cohort.json"
PARAMETERS_FILE = "parameters.csv"
TRUTH = "truth"
_DRAWING = 0.85  # of a patient's time; the rest is writing


@dataclasses.dataclass(frozen=True)
class CohortRecord:
    """What a cohort's patients depend on, kept in ``cohort.json``."""

    version: str
    seed: int
    size: int
    slices: int
    lesion_share: float


def write_cohort(
    out: Path,
    *,
    patients: int,
    seed: int,
    size: int = 128,
    slices: int = 40,
    lesion_share: float = 1 / 3,
    progress: Listener = ignore,
    cancel: Cancel | None = None,
) -> None:
    """Write patients 1 to ``patients`` to the folder ``out``, or those of them that aren't there yet.

    Each gets a folder (``PHANTOM-0001/CT/*.dcm``, ``RTSTRUCT.dcm``, ``RTPLAN.dcm``, ``RTDOSE.dcm``), which appears only
    when it is complete; the truth about all of them is in ``parameters.csv`` and ``truth/``. ``lesion_share`` 0 gives
    healthy patients only. Raises UserError when ``out`` holds something else or can't be written, and Cancelled; then
    the patients finished so far stay, and the same call completes the cohort.
    """
    if patients < 1 or seed < 0:
        raise UserError(
            f"{patients} patients with seed {seed} can't be made; give at least 1 patient and a seed of at least 0."
        )
    check_sizes(size, slices)
    policy = LesionPolicy(lesion_share)
    with _disk_troubles(out):
        _claim(out, CohortRecord(PHANTOM_VERSION, seed, size, slices, lesion_share))
        missing = [number for number in range(1, patients + 1) if not _is_complete(out, number)]
        whole = _Whole(progress, len(missing))
        for index, number in enumerate(missing):
            drawing = whole.part(index, f"patient {number} of {patients}")
            try:
                patient = make_patient(
                    seed, number, size=size, slices=slices, lesions=policy, progress=drawing, cancel=cancel
                )
            except Cancelled:
                raise Cancelled(f"Cancelled; the patients finished so far stay in {out}.") from None
            _write_patient(patient, out)
            _write_table(out)
        progress(Progress(1.0, "done", 0.0))


class _Whole:
    """Progress over several patients, told by the progress of each."""

    def __init__(self, listener: Listener, count: int) -> None:
        self._listener, self._count, self._began = listener, count, time.monotonic()

    def part(self, index: int, stage: str) -> Listener:
        def tell(inner: Progress) -> None:
            share = (index + _DRAWING * inner.fraction) / self._count
            elapsed = time.monotonic() - self._began
            self._listener(Progress(share, stage, elapsed * (1 - share) / share if share > 0.01 else None))

        return tell


def _is_complete(out: Path, number: int) -> bool:
    identifier = identifier_of(number)
    return (out / identifier).is_dir() and (out / TRUTH / f"{identifier}.json").is_file()


def _claim(out: Path, record: CohortRecord) -> None:
    """Make ``out`` the folder of this cohort, or raise UserError when it is something else's."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give a folder for the cohort.")
    file = out / COHORT_FILE
    if file.is_file():
        there = _read_record(file)
        if there != record:
            differences = ", ".join(
                f"{name} {getattr(there, name)} instead of {getattr(record, name)}"
                for name in to_data(record)
                if getattr(there, name) != getattr(record, name)
            )
            raise UserError(f"{out} holds another cohort ({differences}); give another folder, or the same settings.")
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty and holds no cohort of phantoms; give a new or empty folder.")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(file, (json.dumps(to_data(record), indent=2) + "\n").encode())
    (out / TRUTH).mkdir(exist_ok=True)
    for leftover in out.glob(".PHANTOM-*.partial"):
        shutil.rmtree(leftover)


def _read_record(file: Path) -> CohortRecord:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{file} is damaged; delete its folder and make the cohort anew.") from None
    return from_data(CohortRecord, data, str(file))


def _write_patient(patient: PhantomPatient, out: Path) -> None:
    partial, final = out / f".{patient.identifier}.partial", out / patient.identifier
    try:
        partial.mkdir()
        plan = make_plan(patient)
        write_ct(patient, partial / "CT")
        write_structures(patient, partial / "RTSTRUCT.dcm")
        write_plan(patient, plan, partial / "RTPLAN.dcm")
        write_dose(patient, plan, partial / "RTDOSE.dcm")
        truth = out / TRUTH
        if patient.lesion is not None:
            write_volume(truth / f"{patient.identifier}_lesion.nrrd", patient.lesion, patient.volume.geometry)
        parameters = json.dumps(patient.parameters, indent=2, ensure_ascii=False) + "\n"
        write_bytes_atomically(truth / f"{patient.identifier}.json", parameters.encode())
        if final.is_dir():  # its truth was lost
            shutil.rmtree(final)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_table(out: Path) -> None:
    """Write the parameters of all finished patients as one table."""
    rows = [
        json.loads(file.read_text(encoding="utf-8"))
        for file in sorted((out / TRUTH).glob("*.json"))
        if (out / file.stem).is_dir()
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes_atomically(out / PARAMETERS_FILE, text.getvalue().encode())


@contextlib.contextmanager
def _disk_troubles(out: Path) -> Iterator[None]:
    """Turn what the disk refuses into a sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(
            f"{out} can't be written ({reason}); mend that and give the same command again, finished patients are kept."
        ) from error
