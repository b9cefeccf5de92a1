"""A path between the parameter node and its path edit."""

from pathlib import Path
from typing import Any

from slicer.parameterNodeWrapper.guiConnectors import GuiConnector

from .chosen_model import NO_PATH


class PathConnector(GuiConnector):
    """Binds a ctkPathLineEdit; Slicer's own connector would show the empty path as a dot."""

    def __init__(self, widget: Any) -> None:
        super().__init__()
        self._widget = widget

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        """Return whether this connector is made for the two."""
        return datatype is Path and hasattr(widget, "currentPath")

    @staticmethod
    def create(widget: Any, datatype: Any) -> "PathConnector | None":
        """Return a connector for ``widget``, None where it is not made for it."""
        return PathConnector(widget) if PathConnector.canRepresent(widget, datatype) else None

    def _connect(self) -> None:
        self._widget.currentPathChanged.connect(self.changed)

    def _disconnect(self) -> None:
        self._widget.currentPathChanged.disconnect(self.changed)

    def widget(self) -> Any:
        """Return the bound widget."""
        return self._widget

    def read(self) -> Path:
        """Return what the widget shows."""
        return Path(self._widget.currentPath)

    def write(self, value: Path) -> None:
        """Show ``value``."""
        self._widget.currentPath = "" if value == NO_PATH else str(value)
