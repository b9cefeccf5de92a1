"""A bundle in a few lines for the person who chooses it."""

import json
from pathlib import Path

from ..core.bundle_parts import has_part, read_part
from ..core.errors import UserError
from ..core.manifest import Manifest

_CALIBRATION, _PRIOR = "calibration.json", "prior.json"

Row = tuple[str, str]


def rows_of(bundle: Path, manifest: Manifest) -> tuple[Row, ...]:
    """Return what the model is, was trained on and is for, as names and values; lengths in mm."""
    made_for, made = manifest.declaration, manifest.preprocessing
    side, (low, high) = made_for.field_of_view_mm, made_for.slice_step_mm
    rows = [
        ("Model", f"{manifest.title} ({manifest.recipe})"),
        ("For", f"{made_for.modality} {made_for.body_part}, {made_for.plane} {made.depth}".strip()),
        ("Field of view", f"{side:.0f} × {side:.0f} mm, {made.size} × {made.size} pixels of {made.spacing_mm:g} mm"),
        ("Trained on", f"{_patients(made_for.training_patients)}, slices every {low:g} to {high:g} mm"),
        ("Sees structures", ", ".join(made.structures)),
        ("Quality", ", ".join(f"{name} {value:.3g}" for name, value in manifest.quality.items())),
        ("Calibration", _calibration(bundle, manifest)),
        ("Priors", _priors(bundle, manifest)),
        ("Intended use", made_for.intended_use),
    ]
    if made_for.is_demonstration:
        rows.append(("Note", "A demonstration: its results mean nothing for a patient."))
    return tuple((name, value) for name, value in rows if value)


def _calibration(bundle: Path, manifest: Manifest) -> str:
    if not has_part(manifest, (_CALIBRATION,)):
        return "none: maps are in the model's own units, without a p-value"
    told = _json(bundle, manifest, _CALIBRATION)
    maps = [
        f"{each['method']} ({each['fitted_patients']} + {len(each['patient_scores'])} healthy patients)"
        for each in told.get("calibrated", ())
    ]
    return ", ".join(maps) or "damaged; run 'slicervae calibrate' again"


def _priors(bundle: Path, manifest: Manifest) -> str:
    if not has_part(manifest, (_PRIOR,)):
        return "standard"
    told = _json(bundle, manifest, _PRIOR)
    return ", ".join(["standard", *told.get("mixtures", {}), *(["learned-codes"] if told.get("codes") else [])])


def _json(bundle: Path, manifest: Manifest, name: str) -> dict:
    """A part's description as it is, not checked: the engine checks it when it is used."""
    try:
        told = json.loads(read_part(bundle, manifest, name))
    except (UserError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _patients(count: int) -> str:
    return f"{count} patient{'' if count == 1 else 's'}"
