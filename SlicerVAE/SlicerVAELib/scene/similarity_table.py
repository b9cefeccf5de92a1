"""The most similar patients as a table for a person: one patient a row, nobody named."""

from collections.abc import Sequence
from typing import TypeAlias

import vtk

from ..core.percentiles import DistanceScale
from ..library.intake import is_target
from ..library.neighbours import Neighbour, Neighbours
from ..library.records import DoseFacts, PlanFacts

Column: TypeAlias = tuple[str, Sequence[str] | Sequence[int] | Sequence[float]]


def table_of(neighbours: Neighbours, query_slices: int) -> vtk.vtkTable:
    """Rank, pseudonym, how alike the images and the geometry are, the plan, and the dose to each structure: D95 of
    targets, the mean of organs, in physical Gy. A cell is empty where nothing is known."""
    table = vtk.vtkTable()
    for name, values in _columns(neighbours, query_slices):
        table.AddColumn(_array(name, values))
    return table


def _columns(neighbours: Neighbours, query_slices: int) -> list[Column]:
    nearest = neighbours.nearest
    plans = [one.plan for one in nearest]
    return [
        ("Rank", [number + 1 for number in range(len(nearest))]),
        ("Patient", [one.pseudonym for one in nearest]),
        ("KL (nats)", [one.match.distance for one in nearest]),
        ("KL in words", [_in_words(neighbours.scale, one) for one in nearest]),
        ("Matched slices", [f"{len(one.match.pairs)} of {query_slices}" for one in nearest]),
        ("Geometry (mm)", ["" if one.geometry_mm is None else f"{one.geometry_mm:.1f}" for one in nearest]),
        ("Site", [" ".join(filter(None, (plan.laterality, plan.site))) if plan else "" for plan in plans]),
        ("Prescription", [_prescription(plan) for plan in plans]),
        ("Technique", [plan.technique if plan else "" for plan in plans]),
        *_dose_columns(plans),
    ]


def _in_words(scale: DistanceScale | None, one: Neighbour) -> str:
    return scale.in_words(one.match.distance) if scale is not None else ""


def _prescription(plan: PlanFacts | None) -> str:
    if plan is None or plan.prescription_gy is None:
        return ""
    fractions = f" in {plan.fractions} fractions" if plan.fractions else ""
    return f"{plan.prescription_gy:g} Gy{fractions}"


def _dose_columns(plans: Sequence[PlanFacts | None]) -> list[Column]:
    by_structure = [{dose.structure: dose for dose in plan.doses} if plan else {} for plan in plans]
    names = dict.fromkeys(name for doses in by_structure for name in doses)
    return [
        (f"{name} {'D95' if is_target(name) else 'mean'} (Gy)", [figure_of(doses.get(name)) for doses in by_structure])
        for name in names
    ]


def figure_of(dose: DoseFacts | None) -> str:
    """The figure of a structure's dose that stands in a table, in Gy: D95 of a target, the mean of an organ."""
    if dose is None:
        return ""
    return f"{dose.statistics.d95_gy if is_target(dose.structure) else dose.statistics.mean_gy:.1f}"


def _array(name: str, values: Sequence[str] | Sequence[int] | Sequence[float]) -> vtk.vtkAbstractArray:
    first = values[0] if values else ""
    kinds = {int: vtk.vtkIntArray, float: vtk.vtkDoubleArray}
    array = kinds.get(type(first), vtk.vtkStringArray)()
    array.SetName(name)
    for value in values:
        array.InsertNextValue(value)
    return array
