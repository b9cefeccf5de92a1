"""The colour tables of the outputs, as nodes of our own.

They are saved with the scene, and a scene that lacks the application's colours shows the same. The tables of the maps
are black at zero, so that "nothing found" stays dark, beside the image and over it.
"""

from collections.abc import Callable

import numpy as np
import slicer

Entry = tuple[str, float, float, float, float]  # name, red, green, blue, opacity
Anchor = tuple[float, float, float, float]  # value, red, green, blue
AddNode = Callable[[slicer.vtkMRMLNode], slicer.vtkMRMLNode]

_TABLE = "SlicerVAE.ColorTable"
_CLEAR = "SlicerVAE.ClearFor"  # the display node whose own table it is


def color_table(scene: slicer.vtkMRMLScene, kind: str, add: AddNode) -> slicer.vtkMRMLColorTableNode:
    """Return the scene's colour table for outputs of this kind, made and added with ``add`` when it isn't there yet."""
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode")):
        table = scene.GetNthNodeByClass(index, "vtkMRMLColorTableNode")
        if table.GetAttribute(_TABLE) == kind:
            return table
    return add(_new_table(kind))


def clear_table(display: slicer.vtkMRMLScalarVolumeDisplayNode, level: float) -> slicer.vtkMRMLColorTableNode:
    """Return the display's own copy of its colour table, clear where the values of its window lie between −level and
    level; what is beyond the window is never clear."""
    table = display.GetColorNode()
    if table.GetAttribute(_CLEAR) != display.GetID():
        table = _own_copy(table, display)
    colors = table.GetNumberOfColors()
    middles = np.linspace(display.GetWindowLevelMin(), display.GetWindowLevelMax(), colors)
    is_seen = np.abs(middles) >= level
    is_seen[[0, -1]] = True
    changing = table.StartModify()  # one redrawing, not one for each colour
    for index, seen in enumerate(is_seen.tolist()):
        table.SetOpacity(index, float(seen))
    table.EndModify(changing)
    return table


def _own_copy(
    table: slicer.vtkMRMLColorTableNode, display: slicer.vtkMRMLScalarVolumeDisplayNode
) -> slicer.vtkMRMLColorTableNode:
    own = slicer.vtkMRMLColorTableNode()
    own.Copy(table)
    own.SetName(f"{table.GetName()} of {display.GetDisplayableNode().GetName()}")
    own.RemoveAttribute(_TABLE)
    own.SetAttribute(_CLEAR, display.GetID())
    own.SetHideFromEditors(True)
    return display.GetScene().AddNode(own)


def _new_table(kind: str) -> slicer.vtkMRMLColorTableNode:
    entries = _ENTRIES[kind]
    table = slicer.vtkMRMLColorTableNode()
    table.SetTypeToUser()
    table.SetName(f"SlicerVAE {kind}")
    table.SetAttribute(_TABLE, kind)
    table.SetAttribute("Category", "SlicerVAE")
    table.SetNumberOfColors(len(entries))
    for index, entry in enumerate(entries):
        table.SetColor(index, *entry)
    return table


def _ramp(*anchors: Anchor, colors: int = 256) -> tuple[Entry, ...]:
    values, *channels = zip(*anchors, strict=True)
    where = np.linspace(values[0], values[-1], colors)
    red, green, blue = (np.interp(where, values, channel).tolist() for channel in channels)
    names = (f"{value:.2f}" for value in where)
    return tuple((name, r, g, b, 1.0) for name, r, g, b in zip(names, red, green, blue, strict=True))


_ENTRIES: dict[str, tuple[Entry, ...]] = {
    "residual": _ramp(
        (-1.0, 0.80, 0.95, 1.00),
        (-0.5, 0.10, 0.45, 0.95),
        (0.0, 0.00, 0.00, 0.00),
        (0.5, 0.90, 0.25, 0.10),
        (1.0, 1.00, 0.90, 0.60),
    ),
    "anomaly": _ramp(
        (0.0, 0.00, 0.00, 0.00),
        (0.35, 0.70, 0.05, 0.05),
        (0.7, 1.00, 0.60, 0.05),
        (1.0, 1.00, 1.00, 0.80),
    ),
    "field of view": (("not seen by the model", 0, 0, 0, 0), ("seen by the model", 0.35, 0.75, 0.45, 1)),
}
