"""The widgets of SlicerVAEInput.ui."""

from typing import Any

import qt

from ..chosen_input import StructureMatch
from ..connections import Connections
from ..labels import write
from ..presenters.input import InputPresenter, InputState
from ..section import Panel, Section
from ..section_view import SectionView
from ..translation import tr as _

NOT_CHOSEN = _("choose…")


def open_section(ui: Any, panel: Panel) -> Section:
    """Put the section together."""
    return InputSection(ui, lambda view: InputPresenter(view, panel))


class InputSection(SectionView[InputPresenter]):
    """Draws InputState; the table has a list of segments for each of the model's structures."""

    def listen(self) -> None:
        """Connect the widgets."""
        self._drawn: tuple[StructureMatch, ...] = ()
        self._rows = Connections()
        self.connections.connect(self.ui.confirmCheckBox, "toggled(bool)", self.presenter.confirm)

    def close(self) -> None:
        """See ``Section``."""
        self._rows.disconnect_all()
        super().close()

    def draw(self, state: InputState) -> None:
        """Show the state."""
        ui = self.ui
        write(ui.orientationLabel, state.complaint or state.orientation, is_error=bool(state.complaint))
        for widget in (ui.firstSliceSpinBox, ui.lastSliceSpinBox):
            widget.setEnabled(state.can_choose_slices)
        ui.currentSliceCheckBox.setEnabled(state.can_choose_slices)
        write(ui.slicesLabel, state.slices)
        for widget in (ui.structuresLabel, ui.structuresSelector, ui.structuresTable, ui.confirmCheckBox):
            widget.setVisible(bool(state.matches))
        ui.confirmCheckBox.setEnabled(state.can_confirm)
        ui.confirmCheckBox.setChecked(state.are_confirmed)
        if state.matches != self._drawn:
            self._drawn = state.matches
            self._fill_table(state.matches)

    def _fill_table(self, matches: tuple[StructureMatch, ...]) -> None:
        self._rows.disconnect_all()
        table = self.ui.structuresTable
        table.setRowCount(len(matches))
        for row, match in enumerate(matches):
            item = qt.QTableWidgetItem(match.structure)
            item.setFlags(qt.Qt.ItemIsEnabled)
            item.setToolTip(match.doubt)
            table.setItem(row, 0, item)
            choice = qt.QComboBox()
            choice.addItem(NOT_CHOSEN)
            for segment in match.offered:
                choice.addItem(segment)
            choice.setCurrentIndex(match.offered.index(match.segment) + 1 if match.segment else 0)
            choice.setToolTip(match.doubt or _("The segment that is {structure}.").format(structure=match.structure))
            self._rows.connect(choice, "activated(int)", _Chosen(self.presenter, match))
            table.setCellWidget(row, 1, choice)


class _Chosen:
    """The slot of one row's list, which the table deletes with it."""

    def __init__(self, presenter: InputPresenter, match: StructureMatch) -> None:
        self._presenter, self._match = presenter, match

    def __call__(self, index: int) -> None:
        segment = self._match.offered[index - 1] if index > 0 else ""
        # Once the list's own signal is over: the answer to it may be another list in its place.
        qt.QTimer.singleShot(0, lambda: self._presenter.choose_segment(self._match.structure, segment))
