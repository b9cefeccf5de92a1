"""What a library holds, as tables and data without identities."""

from typing import Any

from SlicerVAELib.core.records import to_data
from SlicerVAELib.library.records import PatientFacts, PlanFacts, SeriesFacts
from SlicerVAELib.library.selection import PatientSummary, PlanSummary
from SlicerVAELib.library.store import Library

from ..table import Table
from .tables import plan_in_words, site_in_words

_SIDES = ("LR", "PA", "SI")  # above and below zero
EXPORT_HEADER = (
    *("pseudonym", "tags", "modality", "body_part", "site", "laterality", "intent", "technique", "approval"),
    *("prescription_gy", "fractions", "structure", "volume_cm3", "mean_gy", "d0_03cc_gy", "d2_gy", "d50_gy", "d95_gy"),
    "d98_gy",
)


def list_table(patients: tuple[PatientSummary, ...]) -> Table:
    """A line a patient."""
    return Table(
        ("patient", "series", "slices", "modality", "body part", "site", "plan", "tags"),
        tuple(
            (
                each.pseudonym,
                str(each.series),
                str(each.slices),
                ", ".join(each.modalities) or "–",
                ", ".join(each.body_parts) or "–",
                "; ".join(site_in_words(_plan(plan)) for plan in each.plans) or "–",
                "; ".join(plan_in_words(_plan(plan)) for plan in each.plans) or "–",
                ", ".join(each.tags) or "–",
            )
            for each in patients
        ),
    )


def show_text(patient: PatientFacts) -> str:
    """All facts of a patient, for a terminal."""
    lines = [f"{patient.pseudonym}{'  tags: ' + ', '.join(patient.tags) if patient.tags else ''}\n"]
    for number, series in enumerate(patient.series):
        size = "×".join(map(str, series.geometry.shape[::-1]))
        about = ", ".join(filter(None, (series.modality, series.body_part, series.patient_position)))
        lines.append(f"\nSeries {number + 1}: {about}, {size} voxels\n")
        plans = [plan for plan in patient.plans if plan.series == number]
        lines += [_plan_line(plan) for plan in plans]
        if series.structures:
            lines.append(_structures(series, plans[0] if plans else None).as_text())
            lines.append("Centres in DICOM's patient coordinates (LPS), mm. Doses in Gy.\n")
    return "".join(lines)


def export_rows(library: Library, pseudonyms: tuple[str, ...]) -> Table:
    """A row for each structure of each patient, for spreadsheets; one for a patient without structures."""
    rows = [row for patient in library.facts(pseudonyms) for row in _export_rows(patient)]
    return Table(EXPORT_HEADER, tuple(rows))


def export_data(library: Library, pseudonyms: tuple[str, ...]) -> dict[str, Any]:
    """All facts without posteriors, pictures and identities, for programs."""
    return {
        "bundle": to_data(library.description.bundle),
        "patients": [_patient_data(patient) for patient in library.facts(pseudonyms)],
    }


def _plan(summary: PlanSummary) -> PlanFacts:
    return PlanFacts(
        0,
        site=summary.site,
        laterality=summary.laterality,
        technique=summary.technique,
        prescription_gy=summary.prescription_gy,
        fractions=summary.fractions,
    )


def _plan_line(plan: PlanFacts) -> str:
    words = (site_in_words(plan), plan.intent.lower(), plan_in_words(plan), plan.approval.lower())
    return f"  Plan: {', '.join(word for word in words if word and word != '–')}\n"


def _structures(series: SeriesFacts, plan: PlanFacts | None) -> Table:
    statistics = {dose.structure: dose.statistics for dose in plan.doses} if plan else {}
    rows = []
    for structure in series.structures:
        found = statistics.get(structure.name)
        centre = ", ".join(
            f"{sides[value < 0]} {abs(value):.0f}" for value, sides in zip(structure.centroid_mm, _SIDES, strict=True)
        )
        doses = (found.mean_gy, found.d0_03cc_gy, found.d50_gy, found.d95_gy) if found else (None,) * 4
        cells = ("–" if dose is None else f"{dose:.2f}" for dose in doses)
        rows.append((structure.name, f"{structure.volume_cm3:.1f}", centre, *cells))
    return Table(("structure", "cm³", "centre", "mean", "D0.03cc", "D50", "D95"), tuple(rows))


def _export_rows(patient: PatientFacts) -> list[tuple[str, ...]]:
    rows = []
    for number, series in enumerate(patient.series):
        plan = next((plan for plan in patient.plans if plan.series == number), None)
        statistics = {dose.structure: dose.statistics for dose in plan.doses} if plan else {}
        common = (
            *(patient.pseudonym, " ".join(patient.tags), series.modality, series.body_part),
            *((plan.site, plan.laterality, plan.intent, plan.technique, plan.approval) if plan else ("",) * 5),
            *((_text(plan.prescription_gy), _text(plan.fractions)) if plan else ("", "")),
        )
        for structure in series.structures:
            found = statistics.get(structure.name)
            doses = (
                (found.mean_gy, found.d0_03cc_gy, found.d2_gy, found.d50_gy, found.d95_gy, found.d98_gy)
                if found
                else (None,) * 6
            )
            rows.append((*common, structure.name, f"{structure.volume_cm3:.3f}", *map(_text, doses)))
        if not series.structures:
            rows.append((*common, *("",) * 8))
    return rows


def _patient_data(patient: PatientFacts) -> dict[str, Any]:
    return {
        "pseudonym": patient.pseudonym,
        "tags": list(patient.tags),
        "series": [
            {
                "modality": series.modality,
                "body_part": series.body_part,
                "patient_position": series.patient_position,
                "size": list(series.geometry.shape[::-1]),
                "structures": [
                    {"name": each.name, "volume_cm3": each.volume_cm3, "centroid_lps_mm": list(each.centroid_mm)}
                    for each in series.structures
                ],
            }
            for series in patient.series
        ],
        "plans": [_plan_data(plan) for plan in patient.plans],
    }


def _plan_data(plan: PlanFacts) -> dict[str, Any]:
    return {
        **{
            name: getattr(plan, name)
            for name in ("site", "laterality", "intent", "prescription_gy", "fractions", "technique", "approval")
        },
        "series": plan.series + 1,
        "doses": {
            dose.structure: to_data(dose.statistics)
            | {"bin_width_gy": dose.bin_width_gy, "histogram_cm3": dose.curve.volume_cm3.round(4).tolist()}
            for dose in plan.doses
        },
    }


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
