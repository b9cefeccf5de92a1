"""The widgets of SlicerVAEModel.ui."""

import html
from pathlib import Path
from typing import Any

from ...core.manifest import MANIFEST
from ...scene.resources import MODEL
from ..labels import write
from ..model_card import Row
from ..presenters.model import ModelPresenter, ModelState
from ..section import Panel, Section
from ..section_view import SectionView
from ..translation import tr as _


def open_section(ui: Any, panel: Panel) -> Section:
    """Put the section together."""
    demonstration = MODEL if MODEL.is_dir() else None
    return ModelSection(ui, lambda view: ModelPresenter(view, panel, demonstration))


class ModelSection(SectionView[ModelPresenter]):
    """Draws ModelState."""

    def listen(self) -> None:
        """Connect the widgets."""
        ui, presenter, connect = self.ui, self.presenter, self.connections.connect
        connect(ui.modelPathEdit, "currentPathChanged(QString)", self._remember)
        connect(ui.demonstrationButton, "clicked()", presenter.use_demonstration)
        connect(ui.loadPatientButton, "clicked()", presenter.load_patient)
        connect(ui.installButton, "clicked()", presenter.install)
        connect(ui.installFolderButton, "clicked()", self._install_from)
        connect(ui.memoryButton, "clicked()", presenter.ask_memory)

    def draw(self, state: ModelState) -> None:
        """Show the state."""
        ui = self.ui
        write(ui.cardLabel, state.complaint or _table(state.card), is_error=bool(state.complaint))
        for button in (ui.demonstrationButton, ui.loadPatientButton):
            button.setVisible(state.has_demonstration)
        write(ui.memoryLabel, state.memory)
        ui.memoryButton.setEnabled(state.can_ask)
        write(ui.missingLabel, state.missing)
        for button in (ui.installButton, ui.installFolderButton):
            button.setVisible(bool(state.missing))
            button.setEnabled(state.can_install)

    def _remember(self, path: str) -> None:
        if (Path(path) / MANIFEST).is_file():  # offered again the next time
            self.ui.modelPathEdit.addCurrentPathToHistory()

    def _install_from(self) -> None:
        import qt

        folder = qt.QFileDialog.getExistingDirectory(self.ui.installFolderButton, _("Folder with the packages"), "")
        if folder:
            self.presenter.install_from(Path(folder))


def _table(rows: tuple[Row, ...]) -> str:
    lines = (f"<tr><td><b>{html.escape(name)}</b>&nbsp;</td><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{''.join(lines)}</table>" if rows else ""
