"""How each kind of output looks.

The windows of the maps are fixed for a model and never stretched to the data: two patients' maps compare at a glance,
and the noise of a normal one is not blown up.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import slicer

from ..core.engine import NOT_SEEN_SIGNED
from .colors import AddNode, color_table
from .provenance import ANOMALY, FIELD_OF_VIEW, RESIDUAL

RESIDUAL_SHARE = 0.2  # residuals beyond a fifth of the model's intensity window are shown saturated
ANOMALY_UPPER = 6.0  # in standard deviations of the model, or of healthy patients where the map is calibrated

Window = tuple[float, float]
Look = Callable[[slicer.vtkMRMLVolumeDisplayNode, AddNode], None]


@dataclasses.dataclass(frozen=True)
class LikeInput:
    """The colours, window and level of ``model``; grey over the values of ``window`` where it has none."""

    model: slicer.vtkMRMLScalarVolumeDisplayNode | None
    window: Window

    def __call__(self, display: slicer.vtkMRMLScalarVolumeDisplayNode, add: AddNode) -> None:  # noqa: ARG002
        """Dress ``display``."""
        if self.model is not None:
            display.Copy(self.model)
        else:
            display.SetDefaultColorMap()
        if self.model is not None and self.model.GetWindow() > 0:
            _set_window(display, self.model.GetWindowLevelMin(), self.model.GetWindowLevelMax())
        else:
            _set_window(display, *self.window)


@dataclasses.dataclass(frozen=True)
class AsResidual:
    """A residual in input units: diverging colours, symmetric about zero."""

    window: Window

    def __call__(self, display: slicer.vtkMRMLScalarVolumeDisplayNode, add: AddNode) -> None:
        """Dress ``display``."""
        half = RESIDUAL_SHARE * (self.window[1] - self.window[0])
        display.SetAndObserveColorNodeID(color_table(display.GetScene(), RESIDUAL, add).GetID())
        _set_window(display, -half, half)
        display.ApplyThresholdOff()


@dataclasses.dataclass(frozen=True)
class AsAnomaly:
    """An anomaly map: heat, or diverging colours where it is signed, and clear where the model saw nothing."""

    is_signed: bool

    def __call__(self, display: slicer.vtkMRMLScalarVolumeDisplayNode, add: AddNode) -> None:
        """Dress ``display``."""
        colors = RESIDUAL if self.is_signed else ANOMALY
        display.SetAndObserveColorNodeID(color_table(display.GetScene(), colors, add).GetID())
        _set_window(display, -ANOMALY_UPPER if self.is_signed else 0.0, ANOMALY_UPPER)
        display.AutoThresholdOff()
        display.SetThreshold(NOT_SEEN_SIGNED + 0.5 if self.is_signed else 0.0, float(np.finfo(np.float32).max))
        display.ApplyThresholdOn()


def as_field_of_view(display: slicer.vtkMRMLLabelMapVolumeDisplayNode, add: AddNode) -> None:
    """Dress the label map of what the model saw."""
    display.SetAndObserveColorNodeID(color_table(display.GetScene(), FIELD_OF_VIEW, add).GetID())


def _set_window(display: slicer.vtkMRMLScalarVolumeDisplayNode, low: float, high: float) -> None:
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(low, high)
