"""Dose–volume histograms of the similar patients, thin, behind the patient's own, thick, in one chart."""

import dataclasses
from collections.abc import Iterator, Sequence

import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..core.dose import dose_on
from ..core.dvh import Curve
from ..core.equivalent_dose import eqd2_curve
from ..core.errors import UserError, nearest
from ..core.volume import Volume
from ..library.intake import dose_facts
from ..library.records import DoseFacts
from . import hierarchy
from .additions import Additions, all_or_none
from .anomaly_overlay import in_letters
from .similar_patients import RankedPatients
from .structure_colors import color_of

THIN, THICK = 1, 4
MOST_IN_LEGEND = 12  # beyond, it would cover the curves; their names are shown where the mouse is
VOLUME_COLUMN = "Volume (%)"


@dataclasses.dataclass(frozen=True)
class DvhPlot:
    """The chart, and a table and a series for each curve in the same order, the patient's own last. ``notices`` are
    sentences for a person."""

    chart: slicer.vtkMRMLPlotChartNode
    series: tuple[slicer.vtkMRMLPlotSeriesNode, ...]
    tables: tuple[slicer.vtkMRMLTableNode, ...]
    notices: tuple[str, ...]

    def remove(self) -> None:
        """Take what is still there out of the scene."""
        for node in (self.chart, *self.series, *self.tables):
            if node.GetScene() is not None:
                node.GetScene().RemoveNode(node)


@dataclasses.dataclass(frozen=True)
class Fractionation:
    """How doses are made comparable: as EQD2 with ``alpha_beta_gy``; ``own`` are the fractions of the query's plan."""

    alpha_beta_gy: float
    own: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class _Drawn:
    """One curve. ``fractions`` is None where they are not known."""

    structure: str
    whose: str
    curve: Curve
    fractions: int | None
    width: int


def plot_dvhs(
    ranking: RankedPatients,
    structures: Sequence[str] = (),
    *,
    own: Sequence[DoseFacts] = (),
    equivalent: Fractionation | None = None,
) -> DvhPlot:
    """Plot the histograms of these structures (standard names; all that the patients have, when empty).

    ``own`` are the query's doses (``doses_of``). Doses are physical, and a notice says so where fractions differ; with
    ``equivalent`` they are EQD2, and plans of unknown fractions are left out. Raises UserError, with the scene as it
    was, for structures that nobody has a dose in.
    """
    drawn = [*_of_neighbours(ranking), *_own(ranking, own, equivalent.own if equivalent else None)]
    known = dict.fromkeys(each.structure for each in drawn)
    for name in structures:
        if name not in known:
            raise UserError(f"Nobody has a dose in '{name}'; {nearest(name, known)}")
    wanted = [each for each in drawn if each.structure in (structures or known)]
    if not wanted:
        raise UserError("None of the similar patients has a dose; add patients with their plans to the library.")
    notices = []
    if equivalent is not None:
        unknown = dict.fromkeys(each.whose for each in wanted if each.fractions is None)
        if unknown:
            notices.append(f"Left out, because their fractions are not known: {', '.join(unknown)}.")
        wanted = [_equivalent(each, equivalent.alpha_beta_gy) for each in wanted if each.fractions is not None]
    elif ranking.neighbours.unequal_fractions:
        notices.append(ranking.neighbours.unequal_fractions)
    title = "EQD2" if equivalent is not None else "Dose"
    unit = f"Gy, α/β = {equivalent.alpha_beta_gy:g} Gy" if equivalent is not None else "Gy"
    with all_or_none(ranking.input.scene) as additions:
        return _write(additions, ranking, wanted, f"{title} ({unit})", tuple(notices))


def _of_neighbours(ranking: RankedPatients) -> Iterator[_Drawn]:
    for one in ranking.neighbours.nearest:
        if one.plan is not None:
            for facts in one.plan.doses:
                yield _Drawn(facts.structure, one.pseudonym, facts.curve, one.plan.fractions, THIN)


def _own(ranking: RankedPatients, doses: Sequence[DoseFacts], fractions: int | None) -> Iterator[_Drawn]:
    for facts in doses:
        yield _Drawn(facts.structure, ranking.volume.source.name, facts.curve, fractions, THICK)


def doses_of(ranking: RankedPatients, dose: Volume) -> tuple[DoseFacts, ...]:
    """The query's own ``dose`` in each of its structures, without a look at the scene. Raises UserError for a volume
    that is no dose in Gy."""
    return dose_facts(ranking.volume, dose_on(dose, ranking.volume.geometry))


def _equivalent(drawn: _Drawn, alpha_beta_gy: float) -> _Drawn:
    assert drawn.fractions is not None
    return dataclasses.replace(drawn, curve=eqd2_curve(drawn.curve, drawn.fractions, alpha_beta_gy))


def _write(
    additions: Additions, ranking: RankedPatients, drawn: Sequence[_Drawn], axis: str, notices: tuple[str, ...]
) -> DvhPlot:
    parent = hierarchy.parent_item(ranking.input.node)
    chart = additions.node("vtkMRMLPlotChartNode", f"{ranking.volume.source.name} dose–volume histograms")
    chart.SetTitle("Dose–volume histograms")
    chart.SetXAxisTitle(in_letters(axis))
    chart.SetYAxisTitle(VOLUME_COLUMN)
    chart.SetLegendVisibility(len(drawn) <= MOST_IN_LEGEND)
    tables, series = [], []
    for each in drawn:
        name = f"{each.structure}, {each.whose}"
        table = additions.node("vtkMRMLTableNode", f"{name} (histogram)")
        table.SetAndObserveTable(_table(each.curve, axis))
        line = additions.node("vtkMRMLPlotSeriesNode")
        line.SetName(name)  # the legend shows it, so no number goes behind it, whatever other charts there are
        line.SetAndObserveTableNodeID(table.GetID())
        line.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        line.SetXColumnName(axis)
        line.SetYColumnName(VOLUME_COLUMN)
        line.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        line.SetLineWidth(each.width)
        line.SetColor(*color_of(each.structure))
        chart.AddAndObservePlotSeriesNodeID(line.GetID())
        hierarchy.place(table, parent)
        tables.append(table)
        series.append(line)
    hierarchy.place(chart, parent)
    return DvhPlot(chart, tuple(series), tuple(tables), notices)


def _table(curve: Curve, axis: str) -> vtk.vtkTable:
    table = vtk.vtkTable()
    for name, values in ((axis, curve.dose_gy), (VOLUME_COLUMN, 100 * curve.volume_cm3 / curve.volume_cm3[0])):
        column = numpy_to_vtk(values, deep=True)
        column.SetName(name)
        table.AddColumn(column)
    return table
