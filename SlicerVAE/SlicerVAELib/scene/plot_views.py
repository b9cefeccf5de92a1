"""What the plot views show."""

import slicer


def show_plot(chart: slicer.vtkMRMLPlotChartNode) -> None:
    """Show a chart beside the slice views, in every plot view that there is."""
    scene = chart.GetScene()
    layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout is not None:
        layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView)
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLPlotViewNode")):
        scene.GetNthNodeByClass(index, "vtkMRMLPlotViewNode").SetPlotChartNodeID(chart.GetID())
