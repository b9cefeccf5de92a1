"""Which images of a data folder are shown: one a column, the same for every model."""

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from SlicerVAELib.core.errors import UserError, nearest

from ..data.batch import ImageSource
from .cohort import HeldVolume, group_of

COLUMNS = 8
LOWEST, HIGHEST = 0.1, 0.9  # of the slices of a volume that hold anything; at its ends they hold little


@dataclasses.dataclass(frozen=True)
class Column:
    """The image at a ``position``, from 0 to 1 along those slices that hold anything, of the volume at ``path``."""

    title: str
    path: str
    patient: str
    position: float


def columns_of(volumes: Sequence[HeldVolume], labels: Mapping[str, str]) -> list[Column]:
    """One column for each label, the middle image of its first volume; without labels, images from all volumes.

    Raises UserError when no patient has a label.
    """
    if labels:
        first = {labels[volume.patient]: volume for volume in reversed(volumes) if volume.patient in labels}
        if not first:
            known = [volume.patient for volume in volumes]
            some = next(iter(labels))
            raise UserError(f"There is no patient '{some}' in the data to show with its label; {nearest(some, known)}")
        return [Column(label, first[label].path, first[label].patient, 0.5) for label in sorted(first)]
    chosen = [volumes[round(n * (len(volumes) - 1) / (COLUMNS - 1))] for n in range(COLUMNS)]
    columns = []
    for volume in dict.fromkeys(chosen):
        times = chosen.count(volume)
        for n in range(min(times, volume.count)):
            position = LOWEST + (HIGHEST - LOWEST) * (n + 0.5) / times
            columns.append(Column(_title(volume, position), volume.path, volume.patient, position))
    return columns


def images_at(columns: Sequence[Column], volumes: Sequence[HeldVolume]) -> torch.Tensor | None:
    """The images (n, C, …) of the columns as one model sees them; None where it does not see one of the volumes."""
    by_path = {volume.path: volume for volume in volumes}
    if not columns or any(column.path not in by_path for column in columns):
        return None
    return torch.cat([_image(by_path[column.path], column.position) for column in columns])


def read_labels(path: Path) -> dict[str, str]:
    """Labels of patients from a CSV file with the columns patient and label. Raises UserError for another file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} can't be read as a CSV file ({error}); give one with patient,label.") from None
    if not rows or not {"patient", "label"} <= rows[0].keys():
        raise UserError(f"{path} has no rows of the columns patient and label; write these names into its first line.")
    return {row["patient"]: row["label"] for row in rows if row["patient"] and row["label"]}


def _image(volume: HeldVolume, position: float) -> torch.Tensor:
    images: ImageSource = group_of("test", [volume]).images
    return images.batch(torch.tensor([_number(volume, position)])).images


def _number(volume: HeldVolume, position: float) -> int:
    return round(position * (volume.count - 1))


def _title(volume: HeldVolume, position: float) -> str:
    name = volume.patient.rsplit("/", 1)[-1]
    short = name if len(name) <= 14 else f"…{name[-13:]}"
    if volume.slices == 1:
        return short
    return f"{short}\n{volume.numbers[_number(volume, position)] + 1} of {volume.slices}"
