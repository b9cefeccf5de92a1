"""Export into a folder of DICOM files: all of them or none."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from ...core.errors import UserError
from ..write import OutputFolder
from .images import derived_series
from .maps import (
    anomaly_map,
    anomaly_segmentation,
    field_of_view_segmentation,
    need_highdicom,
    residual_map,
)
from .results import ModelOutputs, Samples
from .samples import synthetic_series
from .source import SourceSeries


@dataclasses.dataclass(frozen=True)
class Exported:
    """The ``files`` that were written, in order, and sentences for the person."""

    files: tuple[Path, ...]
    notices: tuple[str, ...] = ()


def export_outputs(
    outputs: ModelOutputs, source: SourceSeries, out: Path, *, threshold: float | None = None
) -> Exported:
    """Write what a model made of ``source`` into the new or empty folder ``out``.

    What of the maps ``outputs`` has is written: reconstruction/0001.dcm … are a derived series, residual.dcm and
    anomaly.dcm Parametric Maps, field_of_view.dcm and, with a ``threshold`` in the anomaly map's unit,
    anomaly_segmentation.dcm Segmentations.

    Raises UserError where ``outputs`` were not made from ``source`` or do not lie on its grid, or something can't be
    written; nothing is left behind then.
    """
    outputs.check_made_from(source)
    need_highdicom()
    above = _above(outputs, threshold)
    notices: tuple[str, ...] = ()
    if above is not None and not above.any():
        highest = float(outputs.arrays["anomaly"].max())
        notices = (
            f"Nothing of the anomaly map lies above {threshold:g}, its greatest value is {highest:.3g}, so there is no "
            "segmentation of it; this does not mean normal.",
        )
    return dataclasses.replace(_write(out, _objects(outputs, source, above, threshold)), notices=notices)


def export_samples(samples: Samples, out: Path) -> Exported:
    """Write samples from a model's prior as 0001.dcm … into the new or empty folder ``out``. Raises UserError."""
    return _write(out, ((f"{number:04d}.dcm", image) for number, image in enumerate(synthetic_series(samples), 1)))


def _above(outputs: ModelOutputs, threshold: float | None) -> np.ndarray | None:
    if threshold is None:
        return None
    if "anomaly" not in outputs.arrays:
        raise UserError(f"{outputs.name} has no anomaly map, of which a threshold would mark something; leave it out.")
    if not (math.isfinite(threshold) and threshold >= 0):
        raise UserError(f"The threshold {threshold:g} is none that an anomaly map can have; give a number from 0 on.")
    return (outputs.arrays["anomaly"] > threshold) & (outputs.arrays["field_of_view"] != 0)


def _objects(
    outputs: ModelOutputs, source: SourceSeries, above: np.ndarray | None, threshold: float | None
) -> Iterator[tuple[str, Dataset]]:
    arrays, model = outputs.arrays, outputs.provenance
    if "reconstruction" in arrays:
        for number, image in enumerate(derived_series(source, arrays["reconstruction"], model), start=1):
            yield f"reconstruction/{number:04d}.dcm", image
    if "residual" in arrays:
        yield "residual.dcm", residual_map(source, arrays["residual"], outputs.unit, model)
    if "anomaly" in arrays:
        yield "anomaly.dcm", anomaly_map(source, arrays["anomaly"], outputs.anomaly_unit, outputs.not_seen, model)
    yield "field_of_view.dcm", field_of_view_segmentation(source, arrays["field_of_view"] != 0, model)
    if above is not None and above.any():
        told = f"above {threshold:g}, {outputs.anomaly_unit}"
        yield "anomaly_segmentation.dcm", anomaly_segmentation(source, above, told, model)


def _write(out: Path, objects: Iterator[tuple[str, Dataset]]) -> Exported:
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} holds files already, with which these would be confused; choose a new folder.")
    names = []
    with OutputFolder(out) as folder:
        for name, dataset in objects:
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            dataset.save_as(path, enforce_file_format=True)
            names.append(name)
    return Exported(tuple(out / name for name in names))
