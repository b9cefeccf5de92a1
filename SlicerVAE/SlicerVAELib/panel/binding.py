"""The module's parameter node on the widgets, and what it holds as Choices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import vtk

from .model_path import NO_PATH, ModelPathConnector
from .state import Choices


class ParameterBinding:
    """Keeps one parameter node and the widgets in step, and tells ``changed`` what is chosen."""

    def __init__(self, ui: Any, changed: Callable[[Choices], None]) -> None:
        self._ui, self._changed = ui, changed
        self._node: Any = None
        self._gui_tags: list[int] = []
        self._observer = 0

    def show(self, node: Any) -> None:
        """Show another parameter node, or none (None)."""
        if self._node is not None:
            for tag in self._gui_tags:
                self._node.disconnectGui(tag)
            self._node.RemoveObserver(self._observer)
        self._node, self._gui_tags = node, []
        if node is None:
            return
        if node.modelPath == NO_PATH:  # the edit remembers the one last used
            node.modelPath = Path(self._ui.modelPathEdit.currentPath)
        model = {"modelPath": ModelPathConnector(self._ui.modelPathEdit)}
        self._gui_tags = [node.connectGui(self._ui), node.connectParametersToGui(model)]
        self._observer = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_modified)
        self._changed(choices_of(node))

    def _on_modified(self, *_: object) -> None:
        if self._node is not None:
            self._changed(choices_of(self._node))


def choices_of(node: Any) -> Choices:
    """Return what a parameter node holds."""
    return Choices(
        input=node.inputVolume,
        bundle=None if node.modelPath == NO_PATH else node.modelPath,
        reconstruction=node.reconstructionVolume,
        residual=node.residualVolume,
        anomaly=node.anomalyVolume,
        device=node.device.value,
        sample_count=node.sampleCount,
        sample_seed=node.sampleSeed,
    )
