"""A bundle in a few lines for the person who chooses it."""

import json
from pathlib import Path

from ..core.bundle_parts import has_part, read_part
from ..core.declaration import Declaration
from ..core.errors import UserError
from ..core.manifest import Manifest
from .translation import tr as _

_CALIBRATION, _PRIOR = "calibration.json", "prior.json"

Row = tuple[str, str]


def rows_of(bundle: Path, manifest: Manifest) -> tuple[Row, ...]:
    """Return what the model is, was trained on and is for, as names and values; lengths in mm."""
    made_for, made = manifest.declaration, manifest.preprocessing
    side = made_for.field_of_view_mm
    rows = [
        (_("Model"), f"{manifest.title} ({manifest.recipe})"),
        (_("For"), f"{made_for.modality} {made_for.body_part}, {made_for.plane} {made.depth}".strip()),
        (
            _("Field of view"),
            _("{side:.0f} × {side:.0f} mm, {size} × {size} pixels of {spacing:g} mm").format(
                side=side, size=made.size, spacing=made.spacing_mm
            ),
        ),
        (_("Trained on"), _trained_on(made_for)),
        (_("Sees structures"), ", ".join(made.structures)),
        (_("Quality"), ", ".join(f"{name} {value:.3g}" for name, value in manifest.quality.items())),
        (_("Calibration"), _calibration(bundle, manifest)),
        (_("Priors"), _priors(bundle, manifest)),
        (_("Intended use"), made_for.intended_use),
    ]
    if made_for.is_demonstration:
        rows.append((_("Note"), _("A demonstration: its results mean nothing for a patient.")))
    return tuple((name, value) for name, value in rows if value)


def _calibration(bundle: Path, manifest: Manifest) -> str:
    if not has_part(manifest, (_CALIBRATION,)):
        return _("none: maps are in the model's own units, without a p-value")
    told = _json(bundle, manifest, _CALIBRATION)
    maps = [
        _("{method} ({fitted} + {scored} healthy patients)").format(
            method=each["method"], fitted=each["fitted_patients"], scored=len(each["patient_scores"])
        )
        for each in told.get("calibrated", ())
    ]
    return ", ".join(maps) or _("damaged; run 'slicervae calibrate' again")


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


def _trained_on(made_for: Declaration) -> str:
    """Patients, slices, and what is known of how their images were acquired."""
    count, (low, high) = made_for.training_patients, made_for.slice_step_mm
    step = f"{low:g}" if low == high else _("{low:g} to {high:g}").format(low=low, high=high)
    patients = _("1 patient") if count == 1 else _("{count} patients").format(count=count)
    parts = [patients, _("slices every {step} mm").format(step=step)]
    acquired = made_for.acquisition
    if acquired.kilovoltage is not None:
        parts.append("–".join(f"{voltage:g}" for voltage in dict.fromkeys(acquired.kilovoltage)) + " kV")
    if acquired.with_contrast is not None:
        both = acquired.with_contrast and acquired.without_contrast
        words = _("with contrast agent") if acquired.with_contrast else _("without contrast agent")
        parts.append(_("with and without contrast agent") if both else words)
    return ", ".join(parts)
