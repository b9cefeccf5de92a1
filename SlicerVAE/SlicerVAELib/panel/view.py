"""The widgets of SlicerVAE.ui as the View: what is pressed goes to the presenter, its state to the widgets."""

from typing import Any

import slicer.util

from ..scene.jobs import MapNodes
from ..scene.nodes import VolumeNode
from .connections import Connections
from .presenter import Presenter
from .state import Message, PanelState

OVERLAY_OPACITY = 0.5
PROGRESS_STEPS = 1000
ERROR_STYLE = "QLabel { color: #d9534f; }"  # legible on the light and the dark style
APPLY_TIP = "Reconstruct the input volume and map what the model can't explain."
CREATE_TIP = "Add a volume of synthetic slices, drawn from the model."


class PanelView:
    """Draws PanelState on the widgets; ``ui`` has the children of the .ui file as attributes."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._connections = Connections()

    def listen(self, presenter: Presenter) -> None:
        """Send the presenter what is pressed."""
        connect = self._connections.connect
        connect(self._ui.applyButton, "clicked()", presenter.apply)
        connect(self._ui.cancelButton, "clicked()", presenter.cancel)
        connect(self._ui.installButton, "clicked()", presenter.install)
        connect(self._ui.createSamplesButton, "clicked()", presenter.create_samples)
        for button in (self._ui.applyButton, self._ui.createSamplesButton):
            connect(button, "clicked()", self._ui.modelPathEdit.addCurrentPathToHistory)

    def close(self) -> None:
        """Stop listening."""
        self._connections.disconnect_all()

    def draw(self, state: PanelState) -> None:
        """Show the state."""
        ui = self._ui
        _write(ui.modelLabel, state.model)
        _write(ui.statusLabel, state.status)
        ui.applyButton.setEnabled(state.can_apply)
        ui.applyButton.setToolTip(state.apply_hint or APPLY_TIP)
        ui.createSamplesButton.setEnabled(state.can_create)
        ui.createSamplesButton.setToolTip(state.create_hint or CREATE_TIP)
        ui.cancelButton.setVisible(state.is_working)
        ui.cancelButton.setEnabled(state.can_cancel)
        ui.installButton.setVisible(state.needs_install)
        ui.installButton.setEnabled(state.can_install)
        ui.progressBar.setVisible(state.is_working)
        ui.progressBar.setRange(0, 0 if state.fraction is None else PROGRESS_STEPS)
        ui.progressBar.setValue(round((state.fraction or 0.0) * PROGRESS_STEPS))

    def show_maps(self, input_volume: VolumeNode, maps: MapNodes) -> None:
        """Lay the anomaly map, or else the residual, over the input in the slice views."""
        overlay = maps.anomaly or maps.residual
        if overlay is not None:
            slicer.util.setSliceViewerLayers(
                background=input_volume, foreground=overlay, foregroundOpacity=OVERLAY_OPACITY
            )

    def show_samples(self, samples: VolumeNode) -> None:
        """Show synthetic slices in the slice views, alone."""
        slicer.util.setSliceViewerLayers(background=samples, foreground=None, label=None, fit=True)


def _write(label: Any, message: Message) -> None:
    label.setText(message.text)
    label.setStyleSheet(ERROR_STYLE if message.is_error else "")
    label.setVisible(bool(message.text))
