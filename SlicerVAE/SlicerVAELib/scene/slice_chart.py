"""How unusual each slice is, as a table and a chart in the scene."""

import contextlib

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from ..core.engine import Reconstruction
from . import hierarchy
from .additions import Additions
from .anomaly_overlay import in_letters
from .nodes import VolumeNode
from .plot_views import show_plot
from .provenance import read_attributes, write_attributes

TABLE_ROLE, CHART_ROLE = "SlicerVAE.sliceScores", "SlicerVAE.sliceChart"
POSITION, SCORE, MAP = "position in mm", "negative ELBO in nats", "anomaly, 99th percentile"


def add_slice_chart(anomaly: VolumeNode, result: Reconstruction) -> slicer.vtkMRMLPlotChartNode:
    """Add a table of the model's slices, by their position in LPS mm, and a chart of it; both belong to the map.

    Those of an earlier run on the same map are replaced.
    """
    scene = anomaly.GetScene()
    with contextlib.ExitStack() as undo:
        add = Additions(scene, undo)
        table = add.node("vtkMRMLTableNode", f"{anomaly.GetName()} slices")
        columns = {POSITION: result.slice_positions_mm, SCORE: result.slice_scores, MAP: result.slice_map_scores}
        for name, values in columns.items():
            if values:
                table.AddColumn(_column(name, values))
        write_attributes(table, read_attributes(anomaly))
        chart = add.node("vtkMRMLPlotChartNode", f"{anomaly.GetName()} slice scores")
        shown, title = (MAP, result.anomaly_unit) if result.slice_map_scores else (SCORE, "nats")
        series = add.node("vtkMRMLPlotSeriesNode", shown)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(POSITION)
        series.SetYColumnName(shown)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        chart.SetTitle(f"How unusual each slice of '{anomaly.GetName()}' is")
        chart.SetXAxisTitle("position along the stack in mm (LPS)")
        chart.SetYAxisTitle(in_letters(f"{shown} in {title}" if shown == MAP else shown))
        chart.SetLegendVisibility(False)
        hierarchy.place(table, hierarchy.parent_item(anomaly))
        hierarchy.place(chart, hierarchy.parent_item(anomaly))
        undo.pop_all()
    _remove_older(anomaly)
    anomaly.SetNodeReferenceID(TABLE_ROLE, table.GetID())
    anomaly.SetNodeReferenceID(CHART_ROLE, chart.GetID())
    return chart


def show_chart(anomaly: VolumeNode) -> bool:
    """Show the chart of a map beside the slice views; False where it has none."""
    chart = anomaly.GetNodeReference(CHART_ROLE)
    if chart is None:
        return False
    show_plot(chart)
    return True


def _remove_older(anomaly: VolumeNode) -> None:
    scene, chart = anomaly.GetScene(), anomaly.GetNodeReference(CHART_ROLE)
    if chart is not None:
        series = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
        for node in (*series, chart):
            scene.RemoveNode(node)
    if (table := anomaly.GetNodeReference(TABLE_ROLE)) is not None:
        scene.RemoveNode(table)


def _column(name: str, values: tuple[float, ...]) -> vtk.vtkDataArray:
    column = numpy_support.numpy_to_vtk(np.array(values, dtype=np.float64), deep=True)
    column.SetName(name)
    return column
