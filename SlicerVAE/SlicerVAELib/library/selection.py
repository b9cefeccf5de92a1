"""Choosing patients by what is known of them, and listing them without their large parts."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from .schema import patients, plans, posteriors, series, structures, tags


@dataclasses.dataclass(frozen=True)
class Selection:
    """Patients with all of this; what is empty or None does not matter.

    ``site``, ``laterality``, ``intent``, ``technique``, ``approval``, ``prescription_gy`` (lowest and highest) and
    ``fractions`` are of one and the same plan, ``modality`` and ``body_part`` of one series. ``structures`` are all
    contoured, in whichever series, and ``tags`` all given. Letters' case makes no difference, except in structures.
    """

    site: str = ""
    laterality: str = ""
    intent: str = ""
    technique: str = ""
    approval: str = ""
    prescription_gy: tuple[float, float] | None = None
    fractions: int | None = None
    modality: str = ""
    body_part: str = ""
    structures: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class PlanSummary:
    """A plan in a list; text is empty and a number None where nothing is said."""

    site: str
    laterality: str
    technique: str
    prescription_gy: float | None
    fractions: int | None


@dataclasses.dataclass(frozen=True)
class PatientSummary:
    """A patient in a list: number of series and of slices with a posterior, what they show, plans and tags."""

    pseudonym: str
    series: int
    slices: int
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    plans: tuple[PlanSummary, ...]
    tags: tuple[str, ...]


def chosen(selection: Selection) -> sa.Select[Any]:
    """The query for id and pseudonym of the patients, in the order in which they came."""
    query = sa.select(patients.c.id, patients.c.pseudonym).order_by(patients.c.id)
    own_series = series.c.patient_id == patients.c.id
    of_series = [
        _is(series.c[name], text)
        for name, text in (("modality", selection.modality), ("body_part", selection.body_part))
        if text
    ]
    if of_series:
        query = query.where(sa.exists().where(own_series, *of_series))
    of_plan = _of_plan(selection)
    if of_plan:
        query = query.where(sa.exists().where(own_series, plans.c.series_id == series.c.id, *of_plan))
    for name in selection.structures:
        contoured = sa.exists().where(own_series, structures.c.series_id == series.c.id, structures.c.name == name)
        query = query.where(contoured)
    for tag in selection.tags:
        query = query.where(sa.exists().where(tags.c.patient_id == patients.c.id, _is(tags.c.tag, tag)))
    return query


def summaries(connection: sa.Connection, selection: Selection) -> tuple[PatientSummary, ...]:
    """The chosen patients with what a list shows of them."""
    chosen_ids = chosen(selection).order_by(None).with_only_columns(patients.c.id)
    of_series = _grouped(
        connection,
        sa.select(series.c.patient_id, series.c.modality, series.c.body_part, posteriors.c.slices)
        .join(posteriors, posteriors.c.series_id == series.c.id)
        .where(series.c.patient_id.in_(chosen_ids))
        .order_by(series.c.id),
    )
    columns = (plans.c[field.name] for field in dataclasses.fields(PlanSummary))
    of_plans = _grouped(
        connection,
        sa.select(series.c.patient_id, *columns)
        .join(series, series.c.id == plans.c.series_id)
        .where(series.c.patient_id.in_(chosen_ids))
        .order_by(plans.c.id),
    )
    of_tags = _grouped(connection, sa.select(tags.c.patient_id, tags.c.tag).where(tags.c.patient_id.in_(chosen_ids)))
    return tuple(
        PatientSummary(
            row.pseudonym,
            len(of_series[row.id]),
            sum(slices for _, _, slices in of_series[row.id]),
            _distinct(modality for modality, _, _ in of_series[row.id]),
            _distinct(part for _, part, _ in of_series[row.id]),
            tuple(PlanSummary(*plan) for plan in of_plans[row.id]),
            tuple(sorted(tag for (tag,) in of_tags[row.id])),
        )
        for row in connection.execute(chosen(selection))
    )


def _of_plan(selection: Selection) -> list[sa.ColumnElement[bool]]:
    conditions = [
        _is(plans.c[name], getattr(selection, name))
        for name in ("site", "laterality", "intent", "technique", "approval")
        if getattr(selection, name)
    ]
    if selection.prescription_gy is not None:
        conditions.append(plans.c.prescription_gy.between(*selection.prescription_gy))
    if selection.fractions is not None:
        conditions.append(plans.c.fractions == selection.fractions)
    return conditions


def _is(column: sa.ColumnElement[str], text: str) -> sa.ColumnElement[bool]:
    return sa.func.lower(column) == sa.func.lower(text)


def _grouped(connection: sa.Connection, query: sa.Select[Any]) -> dict[int, list[tuple[Any, ...]]]:
    """The rows by their first column, which is left out of them."""
    groups: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for owner, *rest in connection.execute(query):
        groups[owner].append(tuple(rest))
    return groups


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))
