"""A comparison as text for the terminal and as data for programs."""

from collections.abc import Mapping
from typing import Any

from SlicerVAELib.core.records import to_data
from SlicerVAELib.library.contour_check import ContourFinding
from SlicerVAELib.library.doses import DosedOrgan

from .comparison import Comparison, RankedPatient
from .tables import achievable_table, ranking_table


def to_text(comparison: Comparison) -> str:
    """The tables, the contour check as its outliers only."""
    parts = [ranking_table(comparison).as_text()]
    parts.append(
        f"Closer than: of pairs of different patients. Doses: mean / D0.03cc in {comparison.measure.unit}; * physical "
        "dose in other fractions.\n"
    )
    if comparison.scale is not None:
        parts.append(scale_in_words(comparison) + "\n")
    if comparison.achievable:
        parts.append(f"\nAchievable dose ({comparison.measure.unit}), * own value outside of the quartiles:\n")
        parts.append(achievable_table(comparison).as_text())
    parts.append("\n" + contour_summary(comparison) + "\n")
    parts += [f"  {_contour_in_words(row)}\n" for row in comparison.contours if row.is_outlier]
    return "".join(parts)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Everything, without identities: patients of the library by their pseudonyms."""
    scale = comparison.scale
    return {
        "ranked_by": comparison.by,
        "direction": comparison.direction,
        "query": {
            "slices": len(comparison.query.series.record.posteriors),
            "position_origin": comparison.query.series.record.posteriors.origin,
            "doses": _doses(comparison.own_organs),
        },
        "dose_unit": comparison.measure.unit,
        "scale": {
            "pairs_of_different_patients": 0 if scale is None else len(scale.unlike),
            "repeat_median_nats": None if scale is None else scale.repeat_median,
        },
        "patients": [_patient(n, each, comparison) for n, each in enumerate(comparison.patients, start=1)],
        "achievable_dose": [to_data(row) for row in comparison.achievable],
        "contour_check": [to_data(row) | {"is_outlier": row.is_outlier} for row in comparison.contours],
        "missing_slices": {row.structure: row.missing for row in comparison.gaps},
        "notices": list(comparison.notices),
    }


def scale_in_words(comparison: Comparison) -> str:
    """What the nearest patient's divergence means; empty where it isn't known, which is among the notices."""
    if comparison.scale is None:
        return ""
    return f"The first: {comparison.scale.in_words(comparison.patients[0].neighbour.match.distance)}"


def contour_summary(comparison: Comparison) -> str:
    """How many quantities were compared, and what was found."""
    judged = [row for row in comparison.contours if row.robust_z is not None]
    outliers = sum(row.is_outlier for row in judged)
    missing = "".join(f" Slices without a contour within {each.structure}: {each.missing}." for each in comparison.gaps)
    if not comparison.contours:
        return "Contour check: the patient has no structure with a standard name."
    return (
        f"Contour check: {outliers} outliers (robust |z| > 3.5) among {len(judged)} figures of "
        f"{len({row.structure for row in judged})} structures that enough patients have.{missing}"
    )


def _contour_in_words(row: ContourFinding) -> str:
    return (
        f"{row.structure}: {row.quantity} {row.in_words(row.own)}, median of {row.patients} patients "
        f"{row.in_words(row.median)}, robust z {row.robust_z:+.1f}"
    )


def _patient(number: int, each: RankedPatient, comparison: Comparison) -> dict[str, Any]:
    match, plan = each.neighbour.match, each.neighbour.plan
    return {
        "rank": number,
        "pseudonym": each.pseudonym,
        "kl_nats": match.distance,
        "closer_than": None if comparison.scale is None else comparison.scale.closer_than(match.distance),
        "matched_slices": len(match.pairs),
        "share_matched": match.share_matched,
        "same_position_origin": match.in_window,
        "geometry_mm": each.neighbour.geometry_mm,
        "plan": None
        if plan is None
        else {
            "site": plan.site,
            "laterality": plan.laterality,
            "intent": plan.intent,
            "technique": plan.technique,
            "approval": plan.approval,
            "prescription_gy": plan.prescription_gy,
            "fractions": plan.fractions,
        },
        "doses_comparable": each.is_comparable,
        "doses": _doses(each.organs),
    }


def _doses(organs: Mapping[str, DosedOrgan]) -> dict[str, Any]:
    return {name: to_data(organ.figures) for name, organ in organs.items()}
