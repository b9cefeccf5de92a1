"""SlicerVAE.ui: headers that bring their section when they are first expanded, and the run strip."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from .connections import Connections
from .labels import write
from .readiness import is_overridden, override
from .section import SECTIONS, Panel, SectionName
from .strip import StripState, strip_state

PROGRESS_STEPS = 1000

LoadUi = Callable[[SectionName], Any]


class Frame:
    """The outer part of the panel. ``load_ui`` puts a section's .ui under its header, binds its widgets to the
    parameters and returns its named children as attributes."""

    def __init__(self, ui: Any, load_ui: LoadUi) -> None:
        self._ui, self._load_ui = ui, load_ui
        self._connections = Connections()
        self._open: set[str] = set()
        self._panel: Panel | None = None

    def listen(self, panel: Panel) -> None:
        """Show the panel's state, and send it what is pressed."""
        self._panel = panel
        self._connections.connect(self._ui.cancelButton, "clicked()", panel.runs.cancel)
        self._connections.connect(self._ui.overrideCheckBox, "toggled(bool)", self._on_override)
        for name in SECTIONS:
            header = getattr(self._ui, name.header)
            header.setVisible(_is_there(name))
            self._connections.connect(header, "contentsCollapsed(bool)", _Expanded(self, name))
            if _is_there(name) and not header.collapsed:
                self.open(name)

    def open(self, name: SectionName) -> None:
        """Load a section, once."""
        if self._panel is None or name.key in self._open:
            return
        self._open.add(name.key)
        section = importlib.import_module(f"{__package__}.sections.{name.key}")
        self._panel.open(section.open_section(self._load_ui(name), self._panel))

    def close(self) -> None:
        """Stop listening."""
        self._connections.disconnect_all()

    def draw_strip(self) -> None:
        """Show warnings, progress and status."""
        if self._panel is None:
            return
        state, ui = strip_state(self._panel), self._ui
        write(ui.statusLabel, state.status.text, is_error=state.status.is_error)
        write(ui.warningsLabel, "\n".join(f"⚠ {warning}" for warning in state.warnings))
        ui.overrideCheckBox.setVisible(bool(state.warnings))
        ui.overrideCheckBox.setEnabled(not state.is_working)
        ui.overrideCheckBox.setChecked(state.is_overridden)
        self._draw_progress(state)

    def _draw_progress(self, state: StripState) -> None:
        bar, cancel = self._ui.progressBar, self._ui.cancelButton
        cancel.setVisible(state.is_working)
        cancel.setEnabled(state.can_cancel)
        bar.setVisible(state.is_working)
        bar.setRange(0, 0 if state.fraction is None else PROGRESS_STEPS)
        bar.setValue(round((state.fraction or 0.0) * PROGRESS_STEPS))

    def _on_override(self, is_wanted: bool) -> None:
        if self._panel is not None and self._panel.parameters is not None and is_wanted != is_overridden(self._panel):
            override(self._panel, is_wanted)


class _Expanded:
    """The slot of one header."""

    def __init__(self, frame: Frame, name: SectionName) -> None:
        self._frame, self._name = frame, name

    def __call__(self, is_collapsed: bool) -> None:
        if not is_collapsed:
            self._frame.open(self._name)


def _is_there(name: SectionName) -> bool:
    return importlib.util.find_spec(f"{__package__}.sections.{name.key}") is not None
