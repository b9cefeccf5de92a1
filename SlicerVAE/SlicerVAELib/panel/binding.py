"""The module's parameter node on the widgets of all open sections."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import vtk

from .chosen_model import NO_PATH
from .path_connector import PathConnector

# The path edits by their parameter; all other widgets are bound by their SlicerParameterName.
PATH_EDITS = {
    "modelPath": "modelPathEdit",
    "siteKeyPath": "siteKeyEdit",
    "batchFolder": "batchFolderEdit",
    "batchOutput": "batchOutputEdit",
}


class ParameterBinding:
    """Keeps one parameter node and the widgets in step, and calls ``changed`` with the node when it changed."""

    def __init__(self, changed: Callable[[Any], None]) -> None:
        self._changed = changed
        self._uis: list[Any] = []
        self._node: Any = None
        self._gui_tags: list[int] = []
        self._observer = 0

    def add(self, ui: Any) -> None:
        """Bind the widgets of a section that was just opened."""
        self._uis.append(ui)
        if self._node is not None:
            self._connect(ui)

    @property
    def is_empty(self) -> bool:
        """Whether no parameter node is shown."""
        return self._node is None

    def show(self, node: Any) -> None:
        """Show another parameter node, or none (None)."""
        if self._node is not None:
            for tag in self._gui_tags:
                self._node.disconnectGui(tag)
            self._node.RemoveObserver(self._observer)
        self._node, self._gui_tags = node, []
        if node is None:
            return
        for ui in self._uis:
            self._connect(ui)
        self._observer = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_modified)
        self._changed(node)

    def _connect(self, ui: Any) -> None:
        self._gui_tags.append(self._node.connectGui(ui))
        edits = {parameter: getattr(ui, name) for parameter, name in PATH_EDITS.items() if hasattr(ui, name)}
        for parameter, edit in edits.items():
            if getattr(self._node, parameter) == NO_PATH:  # the edit remembers the one last used
                setattr(self._node, parameter, Path(edit.currentPath))
        if edits:
            connectors = {parameter: PathConnector(edit) for parameter, edit in edits.items()}
            self._gui_tags.append(self._node.connectParametersToGui(connectors))

    def _on_modified(self, *_: object) -> None:
        if self._node is not None:
            self._changed(self._node)
