"""The demonstration patient: a phantom with structures, dose and what a model found, as one file of data.

Read without torch, so that a newcomer sees results before anything is installed. The file is a numpy .npz: arrays
beside one JSON text; whole HU, doses to 1/100 Gy, anomaly maps to 1/16 of their unit.
"""

import dataclasses
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .engine import Reconstruction
from .errors import UserError
from .records import from_data, to_data
from .volume import Geometry, Modality, Source, Volume

VERSION = 1
_DOSE_STEP_GY, _MAP_STEP = 0.01, 1 / 16

Matrix = tuple[tuple[float, float, float, float], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class DemonstrationPatient:
    """``volume`` is the CT with its masks, ``dose`` in Gy on a grid of its own; ``result`` has the reconstruction, the
    anomaly map and the field of view on the CT's grid."""

    volume: Volume
    dose: Volume
    result: Reconstruction


@dataclasses.dataclass(frozen=True)
class _Description:
    """The JSON text; ``result`` is a Reconstruction without its arrays, matrices lead from indices (i, j, k) to RAS."""

    source: Source
    ijk_to_ras: Matrix
    dose_ijk_to_ras: Matrix
    structures: tuple[str, ...]
    result: Reconstruction
    version: int = dataclasses.field(default=VERSION, metadata={"min": 1, "max": VERSION})


def write_demonstration(path: Path, patient: DemonstrationPatient) -> None:
    """Write the file anew; the same patient gives the same bytes."""
    volume, arrays = patient.volume, patient.result.arrays
    description = _Description(
        source=volume.source,
        ijk_to_ras=_rows(volume.geometry),
        dose_ijk_to_ras=_rows(patient.dose.geometry),
        structures=tuple(volume.masks),
        result=dataclasses.replace(patient.result, arrays={}, timings={}),
    )
    text = json.dumps(to_data(description), ensure_ascii=False).encode()
    np.savez_compressed(
        path,
        description=np.frombuffer(text, np.uint8),
        ct=volume.array.astype(np.int16),
        structures=np.packbits(np.stack(list(volume.masks.values()))),
        dose=np.rint(patient.dose.array / _DOSE_STEP_GY).astype(np.uint16),
        reconstruction=np.rint(arrays["reconstruction"]).astype(np.int16),
        anomaly=(np.rint(arrays["anomaly"] / _MAP_STEP) * _MAP_STEP).astype(np.float16),
        field_of_view=np.packbits(arrays["field_of_view"]),
    )


def read_demonstration(path: Path) -> DemonstrationPatient:
    """Read the file. Raises UserError for one that is not there or damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _restored(arrays, str(path))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        raise UserError(f"The demonstration patient {path} can't be read; install SlicerVAE again.") from None


def _restored(arrays: dict[str, np.ndarray], where: str) -> DemonstrationPatient:
    description = from_data(_Description, json.loads(arrays["description"].tobytes()), where)
    shape, names = arrays["ct"].shape, description.structures
    masks = np.unpackbits(arrays["structures"], count=len(names) * arrays["ct"].size).reshape(len(names), *shape)
    result: dict[str, Any] = {
        "reconstruction": arrays["reconstruction"].astype(np.float32),
        "anomaly": arrays["anomaly"].astype(np.float32),
        "field_of_view": np.unpackbits(arrays["field_of_view"], count=arrays["ct"].size).reshape(shape),
    }
    dose = (arrays["dose"] * _DOSE_STEP_GY).astype(np.float32)
    return DemonstrationPatient(
        volume=Volume(
            arrays["ct"],
            Geometry(shape, np.array(description.ijk_to_ras)),
            Modality.CT,
            masks={name: mask.astype(bool) for name, mask in zip(names, masks, strict=True)},
            source=description.source,
        ),
        dose=Volume(dose, Geometry(dose.shape, np.array(description.dose_ijk_to_ras)), Modality.DOSE),
        result=dataclasses.replace(description.result, arrays=result),
    )


def _rows(geometry: Geometry) -> Any:
    return tuple(tuple(row) for row in geometry.ijk_to_ras.tolist())
