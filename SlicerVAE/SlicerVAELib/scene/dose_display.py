"""How a dose looks, and how a node says that it is one."""

import dataclasses

import slicer

from .colors import AddNode, color_table
from .provenance import ANOMALY

DOSE_VOLUME = "DicomRtImport.DoseVolume"  # SlicerRT's mark, by which a dose is never taken for an image
_LOWEST_SHOWN = 0.05  # of the highest dose


@dataclasses.dataclass(frozen=True)
class AsDose:
    """A dose in Gy, clear where there is next to none."""

    highest: float

    def __call__(self, node: slicer.vtkMRMLScalarVolumeDisplayNode, add: AddNode) -> None:
        """Dress the display node."""
        node.SetAndObserveColorNodeID(color_table(node.GetScene(), ANOMALY, add).GetID())
        node.AutoWindowLevelOff()
        node.SetWindowLevelMinMax(0.0, self.highest)
        node.AutoThresholdOff()
        node.SetThreshold(_LOWEST_SHOWN * self.highest, self.highest)
        node.ApplyThresholdOn()
