"""DICOM series and structure sets written slice by slice with pydicom, for the tests of the readers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
STUDY_UID = generate_uid(entropy_srcs=["the study"])
FRAME_UID = generate_uid(entropy_srcs=["the frame of reference"])


def series_uid(name: str) -> str:
    """A UID that is the same in every run."""
    return generate_uid(entropy_srcs=["series", name])


def stored_ct(shape: tuple[int, int, int] = (5, 12, 10), seed: int = 0) -> np.ndarray:
    """Stored values (K, J, I) as a scanner writes them: 12 bits, air at 24, water at 1024."""
    return np.random.default_rng(seed).integers(0, 4096, shape).astype(np.uint16)


def write_series(
    folder: Path,
    stored: np.ndarray,
    *,
    name: str = "a",
    description: str = "Thorax",
    number: int = 3,
    modality: str = "CT",
    patient: str = "P1",
    spacing: Sequence[float] = (0.8, 0.9, 2.5),
    origin: Sequence[float] = (-100.0, -120.0, 40.0),
    orientation: Sequence[float] = UPRIGHT,
    slope: float = 1.0,
    intercept: float = -1024.0,
    edit: Callable[[Dataset, int], None] = lambda dataset, k: None,
) -> list[Path]:
    """Write ``stored`` (K, J, I) as one file a slice, ascending along the normal; spacing along i, j, k in mm.

    File names and instance numbers run in an order that has nothing to do with the positions. ``edit`` changes the
    dataset of slice k before it is written. Returns the files from slice 0 on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    names = np.random.default_rng(99).permutation(len(stored))
    files = []
    for k, pixels in enumerate(stored):
        dataset = Dataset()
        classes = {"CT": CTImageStorage, "MR": MRImageStorage}
        dataset.SOPClassUID = classes.get(modality, SecondaryCaptureImageStorage)
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(folder), name, str(k)])
        dataset.Modality = modality
        dataset.PatientID, dataset.PatientName = patient, "Nobody^At^All"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, series_uid(name)
        dataset.FrameOfReferenceUID = FRAME_UID
        dataset.SeriesNumber, dataset.InstanceNumber = number, int(names[k]) + 1
        dataset.SeriesDescription, dataset.BodyPartExamined = description, "CHEST"
        dataset.ImagePositionPatient = [_decimal(v) for v in np.asarray(origin) + k * spacing[2] * normal]
        dataset.ImageOrientationPatient = [_decimal(v) for v in orientation]
        dataset.PixelSpacing = [spacing[1], spacing[0]]
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        put_pixels(dataset, pixels)
        edit(dataset, k)
        path = folder / f"{name}{names[k]:04d}.dcm"
        save(dataset, path)
        files.append(path)
    return files


def write_projection(
    folder: Path,
    *,
    modality: str = "DX",
    number: int = 1,
    name: str = "a",
    patient: str = "P1",
    pixels: np.ndarray | None = None,
    edit: Callable[[Dataset], None] = lambda dataset: None,
) -> Path:
    """Write one X-ray image, (1, J, I), which knows the spacing on its detector only; ``edit`` changes its dataset."""

    def project(dataset: Dataset, k: int) -> None:
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            delattr(dataset, keyword)
        dataset.InstanceNumber = number
        dataset.ImagerPixelSpacing = [0.2, 0.1]
        edit(dataset)

    stored = stored_ct((1, 30, 20)) if pixels is None else pixels
    return write_series(
        folder, stored, name=name, modality=modality, patient=patient, slope=1, intercept=0, edit=project
    )[0]


def put_pixels(dataset: Dataset, pixels: np.ndarray) -> None:
    """Make ``pixels`` (J, I) or (J, I, 3) the image of ``dataset``."""
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    bits = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()


def _decimal(value: float) -> str:
    return format_number_as_ds(float(value))  # at most 16 characters


def save(dataset: Dataset, path: Path) -> None:
    """Write ``dataset`` as a DICOM file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), dataset, file_meta=meta, preamble=b"\0" * 128)
    file.save_as(path, enforce_file_format=True)


def write_structures(
    path: Path,
    structures: Sequence[tuple[str, Sequence[tuple[str, np.ndarray]]]],
    *,
    frame: str = FRAME_UID,
    drawn_on: str = "a",
) -> Path:
    """Write an RTSTRUCT of (name, [(geometric type, points (P, 3) in LPS mm)]), drawn on the series of that name."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, generate_uid(entropy_srcs=[str(path)])
    dataset.Modality, dataset.PatientID = "RTSTRUCT", "P1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, series_uid(f"structures {path}")
    series = Dataset()
    series.SeriesInstanceUID = series_uid(drawn_on)
    study = Dataset()
    study.RTReferencedSeriesSequence = [series]
    reference = Dataset()
    reference.FrameOfReferenceUID, reference.RTReferencedStudySequence = frame, [study]
    dataset.ReferencedFrameOfReferenceSequence = [reference]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(structures, start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        dataset.StructureSetROISequence.append(roi)
        item = Dataset()
        item.ReferencedROINumber, item.ContourSequence = number, []
        for kind, points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [_decimal(value) for value in np.ravel(points)]
            item.ContourSequence.append(contour)
        dataset.ROIContourSequence.append(item)
    save(dataset, path)
    return path
