"""The folders that ``slicervae reconstruct`` and ``slicervae sample`` write, read for export."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...core.engine import NOT_SEEN, NOT_SEEN_SIGNED, Provenance
from ...core.errors import UserError
from ...core.records import from_data
from ...core.volume import Geometry
from ..images import read_image
from ..quiet import quiet
from .source import SourceSeries

MAPS = ("reconstruction", "residual", "anomaly", "field_of_view")
_SAME_PLACE_MM = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class ModelOutputs:
    """What a model made of a volume, on its grid.

    ``arrays`` (K, J, I) by the names of MAPS, as ``core.engine.Reconstruction`` has them, the field of view always;
    ``unit`` is that of reconstruction and residual ("HU", empty for arbitrary ones). ``series_uid`` is the input's,
    empty where it was not DICOM; ``name`` is what messages call it all; ``not_seen`` is what the anomaly map holds
    where the model saw nothing.
    """

    arrays: Mapping[str, np.ndarray]
    geometry: Geometry
    unit: str
    anomaly_unit: str
    provenance: Provenance
    series_uid: str
    name: str
    not_seen: float = NOT_SEEN

    def check_made_from(self, source: SourceSeries) -> None:
        """Raise UserError unless this was made from ``source``, as far as can be told, and lies on its grid."""
        if self.series_uid and self.series_uid != source.uid:
            raise UserError(
                f"{self.name} was made from the series {self.series_uid}, but {source.name} is {source.uid}; give the "
                "series that the model saw."
            )
        if not self.geometry.matches(source.geometry, tolerance_mm=_SAME_PLACE_MM):
            raise UserError(
                f"{self.name} does not lie on the grid of its source: {source.name} has other slices, spacing or "
                "directions; give the series that the model saw."
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Synthetic ``images`` (N, H, W), in HU or 0…1, on a grid that only tells their spacing."""

    images: np.ndarray
    geometry: Geometry
    provenance: Provenance


def read_model_outputs(folder: Path) -> ModelOutputs:
    """What ``slicervae reconstruct`` wrote into ``folder``. Raises UserError for anything else."""
    facts = _read_facts(folder, "reconstruct")
    read = {name: _read_array(folder, name, "reconstruct") for name in MAPS}
    _, geometry = read["anomaly"]
    for name, (_, other) in read.items():
        if not other.matches(geometry):
            raise UserError(
                f"{folder / name}.nrrd and anomaly.nrrd lie on different grids; reconstruct the volume again."
            )
    return ModelOutputs(
        arrays={name: array for name, (array, _) in read.items()},
        geometry=geometry,
        unit=_text(facts, "unit", folder),
        anomaly_unit=_text(facts, "anomaly_unit", folder),
        provenance=_provenance(facts, folder),
        series_uid=_text(facts.get("input", {}), "series_uid", folder),
        name=str(folder),
        not_seen=_not_seen(facts, folder),
    )


def read_samples(folder: Path) -> Samples:
    """What ``slicervae sample`` wrote into ``folder``. Raises UserError for anything else."""
    facts = _read_facts(folder, "sample")
    if facts.get("synthetic") is not True:
        raise UserError(f"{folder} holds no synthetic images; give a folder that 'slicervae sample' wrote.")
    images, geometry = _read_array(folder, "synthetic", "sample")
    return Samples(images, geometry, _provenance(facts, folder))


def _read_facts(folder: Path, command: str) -> dict[str, Any]:
    path = folder / "result.json"
    wanted = f"give a folder that 'slicervae {command}' wrote"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(f"{folder} has no result.json that can be read; {wanted}.") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged; {wanted}.") from None
    if not isinstance(facts, dict) or "provenance" not in facts:
        raise UserError(f"{path} does not tell which model made what lies beside it; {wanted}.")
    return facts


def _read_array(folder: Path, name: str, command: str) -> tuple[np.ndarray, Geometry]:
    path = folder / f"{name}.nrrd"
    try:
        with quiet():
            array, geometry = read_image(path)
    except OSError:
        raise UserError(
            f"{folder} has no {path.name} that can be read; give a folder that 'slicervae {command}' wrote."
        ) from None
    if not np.isfinite(array).all():
        raise UserError(f"{path} holds values that are not finite (NaN or infinite); make it again.")
    return array, geometry


def _text(facts: Any, key: str, folder: Path) -> str:
    value = facts.get(key, "") if isinstance(facts, dict) else None
    if not isinstance(value, str):
        raise UserError(f"{folder / 'result.json'}, entry '{key}', is no text; reconstruct the volume again.")
    return value


def _not_seen(facts: Mapping[str, Any], folder: Path) -> float:
    value = facts.get("anomaly_not_seen", NOT_SEEN)
    if value not in (NOT_SEEN, NOT_SEEN_SIGNED):
        raise UserError(f"{folder / 'result.json'}, entry 'anomaly_not_seen', is no such mark; reconstruct again.")
    return float(value)


def _provenance(facts: Mapping[str, Any], folder: Path) -> Provenance:
    return from_data(Provenance, facts["provenance"], f"{folder / 'result.json'}, entry 'provenance'")
