"""A comparison as tables."""

from collections import Counter
from collections.abc import Sequence

from SlicerVAELib.core.equivalent_dose import OrganDose
from SlicerVAELib.library.intake import is_target
from SlicerVAELib.library.records import PlanFacts

from ..table import Table
from .comparison import Comparison, RankedPatient

MOST_ORGANS = 4  # whose doses stand beside the ranking


def ranking_table(comparison: Comparison) -> Table:
    """The neighbours for a person to read; doses are mean and near-maximum (D0.03cc)."""
    organs = compared_organs(comparison)[:MOST_ORGANS]
    return Table(
        ("rank", "patient", "KL (nats)", "closer than", "slices", "geometry", "site", "plan", *organs),
        tuple(
            (
                str(number),
                each.pseudonym,
                f"{each.neighbour.match.distance:.4g}",
                closer_than(comparison, each),
                f"{len(each.neighbour.match.pairs)}/{len(comparison.query.series.record.posteriors)}",
                _optional(each.neighbour.geometry_mm, ".1f", " mm"),
                site_in_words(each.neighbour.plan),
                plan_in_words(each.neighbour.plan),
                *(_mean_and_maximum(each, organ) for organ in organs),
            )
            for number, each in enumerate(comparison.patients, start=1)
        ),
        frozenset(n for n, each in enumerate(comparison.patients) if each.organs and not each.is_comparable),
    )


def ranking_csv(comparison: Comparison) -> str:
    """The neighbours for programs, one value a cell."""
    organs = sorted({name for each in comparison.patients for name in each.organs})
    header = (
        *("rank", "pseudonym", "kl_nats", "closer_than_percent", "matched_slices", "query_slices", "geometry_mm"),
        *("site", "laterality", "technique", "prescription_gy", "fractions", "doses_comparable", "dose_unit"),
        *(f"{organ}_{figure}" for organ in organs for figure in ("mean", "d0_03cc")),
    )
    return Table(header, tuple(_csv_row(n, each, comparison, organs) for n, each in _numbered(comparison))).as_csv()


def achievable_table(comparison: Comparison) -> Table:
    """Quartiles of the neighbours' doses beside the query's own."""
    rows = comparison.achievable
    return Table(
        ("organ", "figure", "patients", "lower quartile", "median", "upper quartile", "own", ""),
        tuple(
            (
                row.organ,
                row.figure,
                str(row.patients),
                *(f"{value:.1f}" for value in (row.lower_quartile, row.median, row.upper_quartile)),
                _optional(row.own, ".1f"),
                row.place,
            )
            for row in rows
        ),
        frozenset(n for n, row in enumerate(rows) if row.is_outside),
    )


def contour_table(comparison: Comparison) -> Table:
    """Every quantity of the query's structures beside the library."""
    rows = comparison.contours
    return Table(
        ("structure", "quantity", "own", "median", "patients", "robust z", ""),
        tuple(
            (
                row.structure,
                row.quantity,
                row.in_words(row.own),
                row.in_words(row.median),
                str(row.patients),
                _optional(row.robust_z, "+.1f"),
                "outlier" if row.is_outlier else "",
            )
            for row in rows
        ),
        frozenset(n for n, row in enumerate(rows) if row.is_outlier),
    )


def compared_organs(comparison: Comparison) -> list[str]:
    """The organs with a dose, those that the query and most neighbours have first; targets and the body come last."""
    counts = Counter(name for each in comparison.patients for name in each.organs)

    def place(name: str) -> tuple[bool, bool, int, str]:
        is_organ = not is_target(name) and name != "External"
        return (not is_organ, name not in comparison.own_organs, -counts[name], name)

    return sorted(counts, key=place)


def closer_than(comparison: Comparison, patient: RankedPatient) -> str:
    """Than what share of the pairs of different patients this one is closer; a dash where that is not known."""
    if comparison.scale is None:
        return "–"
    return comparison.scale.percent_in_words(patient.neighbour.match.distance)


def plan_in_words(plan: PlanFacts | None) -> str:
    """Technique, dose and fractions."""
    if plan is None:
        return "–"
    dose = "" if plan.prescription_gy is None else f"{plan.prescription_gy:g} Gy"
    fractions = "" if plan.fractions is None else f" in {plan.fractions}"
    return ", ".join(filter(None, (plan.technique, dose + fractions))) or "–"


def site_in_words(plan: PlanFacts | None) -> str:
    """Site and side."""
    return " ".join(filter(None, (plan.site, plan.laterality))) or "–" if plan is not None else "–"


def _numbered(comparison: Comparison) -> list[tuple[int, RankedPatient]]:
    return list(enumerate(comparison.patients, start=1))


def _csv_row(number: int, each: RankedPatient, comparison: Comparison, organs: Sequence[str]) -> tuple[str, ...]:
    plan, match = each.neighbour.plan, each.neighbour.match
    share = None if comparison.scale is None else 100 * comparison.scale.closer_than(match.distance)
    figures = [each.organs[organ].figures if organ in each.organs else None for organ in organs]
    return (
        str(number),
        each.pseudonym,
        f"{match.distance:.8g}",
        _given(share, ".2f"),
        str(len(match.pairs)),
        str(len(comparison.query.series.record.posteriors)),
        _given(each.neighbour.geometry_mm, ".3f"),
        *((plan.site, plan.laterality, plan.technique) if plan else ("", "", "")),
        _given(plan.prescription_gy if plan else None, "g"),
        _given(plan.fractions if plan else None, "d"),
        ("yes" if each.is_comparable else "no") if each.organs else "",
        (comparison.measure.unit if each.is_comparable else "Gy") if each.organs else "",
        *(text for figure in figures for text in _both(figure)),
    )


def _both(figures: OrganDose | None) -> tuple[str, str]:
    if figures is None:
        return "", ""
    return f"{figures.mean_gy:.3f}", _given(figures.d0_03cc_gy, ".3f")


def _mean_and_maximum(patient: RankedPatient, organ: str) -> str:
    if organ not in patient.organs:
        return "–"
    figures = patient.organs[organ].figures
    return f"{figures.mean_gy:.1f} / {_optional(figures.d0_03cc_gy, '.1f')}"


def _optional(value: float | None, layout: str, unit: str = "") -> str:
    """For a person: a dash where there is none."""
    return "–" if value is None else f"{value:{layout}}{unit}"


def _given(value: float | None, layout: str) -> str:
    """For programs: empty where there is none."""
    return "" if value is None else f"{value:{layout}}"
