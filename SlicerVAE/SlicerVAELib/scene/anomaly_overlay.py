"""An anomaly map as an overlay: clear below its alarm level, with a legend that tells the unit."""

import dataclasses

import numpy as np
import slicer
import slicer.util

from ..core.engine import NOT_SEEN_SIGNED
from ..core.errors import UserError
from ..core.map_regions import MapRegions, find_regions
from .colors import clear_table
from .nodes import VolumeNode
from .provenance import ANOMALY, ANOMALY_UNIT, KIND, PATIENT_P_VALUE, provenance_of
from .volumes import world_geometry

_LEGEND_POINTS = 12
_TWO_SIDED = "signed-residual"  # below zero it is darker than expected, which is as much a finding as brighter


@dataclasses.dataclass(frozen=True, eq=False)
class AnomalyMap:
    """An anomaly map in the scene and what its attributes tell of it."""

    node: VolumeNode
    unit: str
    method: str
    patient_p_value: float | None

    @classmethod
    def of(cls, node: VolumeNode) -> "AnomalyMap":
        """Read the attributes of a node. Raises UserError for one that is no anomaly map of SlicerVAE."""
        if node.GetAttribute(KIND) != ANOMALY:
            raise UserError(f"'{node.GetName()}' is no anomaly map; find anomalies first, or choose a map.")
        told = provenance_of(node)
        p_value = node.GetAttribute(PATIENT_P_VALUE)
        return cls(
            node,
            node.GetAttribute(ANOMALY_UNIT) or "",
            told.parameters.get("anomaly method", ""),
            float(p_value) if p_value else None,
        )

    @property
    def is_signed(self) -> bool:
        """Whether a finding may lie below zero as well."""
        return self.method == _TWO_SIDED

    def regions(self, level: float, smallest_cm3: float) -> MapRegions:
        """Find the regions above the alarm level, in the map's unit."""
        array = slicer.util.arrayFromVolume(self.node)
        below = NOT_SEEN_SIGNED if self.is_signed else None
        return find_regions(array, world_geometry(self.node), level, smallest_cm3=smallest_cm3, below=below)

    def show_above(self, level: float) -> None:
        """Let the overlay show nothing below the alarm level; of a signed map, nothing between −level and level."""
        display = self.node.GetDisplayNode()
        display.AutoThresholdOff()
        display.SetThreshold(NOT_SEEN_SIGNED + 0.5 if self.is_signed else level, float(np.finfo(np.float32).max))
        display.ApplyThresholdOn()
        if self.is_signed:
            # A threshold has one range alone, so the colours are clear in the middle instead. Between voxels that were
            # seen and those that were not, interpolation would show values that nobody measured.
            display.SetAndObserveColorNodeID(clear_table(display, level).GetID())
            display.InterpolateOff()

    def show_legend(self) -> None:
        """Show the map's colours with their unit in the slice views that show the map."""
        legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(self.node)
        legend.SetTitleText("\n".join(["Anomaly", *_lines(self.unit)]))
        legend.GetTitleTextProperty().SetFontSize(_LEGEND_POINTS)
        legend.SetLabelFormat("%.1f")
        legend.SetMaxNumberOfColors(256)
        legend.SetSize(0.1, 0.4)
        legend.SetVisibility(True)


def in_letters(unit: str) -> str:
    """A unit in the letters that VTK's own font has."""
    for sign, letters in {"σ": "sigma", "α": "alpha", "β": "beta", "−": "-", "∂": "d"}.items():
        unit = unit.replace(sign, letters)
    return unit


def _lines(unit: str) -> list[str]:
    """A unit on lines that leave room for the image beside them."""
    return in_letters(unit).replace(" (", "\n(").splitlines()
