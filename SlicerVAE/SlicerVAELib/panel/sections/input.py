"""The widgets of SlicerVAEInput.ui."""

import dataclasses
from collections.abc import Callable
from typing import Any

import qt

from ..chosen_channels import ChannelMatch
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
    """Draws InputState; the tables have a list for each of the model's structures and further images."""

    def listen(self) -> None:
        """Connect the widgets."""
        self._drawn: tuple[StructureMatch, ...] = ()
        self._drawn_channels: tuple[ChannelMatch, ...] = ()
        self._rows, self._channel_rows = Connections(), Connections()
        self.connections.connect(self.ui.confirmCheckBox, "toggled(bool)", self.presenter.confirm)

    def close(self) -> None:
        """See ``Section``."""
        self._rows.disconnect_all()
        self._channel_rows.disconnect_all()
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
            self._fill_structures(state.matches)
        ui.channelsTable.setVisible(bool(state.channels))
        if state.channels != self._drawn_channels:
            self._drawn_channels = state.channels
            self._fill_channels(state.channels)

    def _fill_structures(self, matches: tuple[StructureMatch, ...]) -> None:
        rows = [
            _Row(
                name=match.structure,
                offered=match.offered,
                chosen=match.offered.index(match.segment) if match.segment else None,
                help=match.doubt or _("The segment that is {structure}.").format(structure=match.structure),
                choose=_Choice(self.presenter.choose_segment, match.structure, match.offered),
            )
            for match in matches
        ]
        _fill(self.ui.structuresTable, self._rows, rows)

    def _fill_channels(self, matches: tuple[ChannelMatch, ...]) -> None:
        rows = [
            _Row(
                name=match.channel,
                offered=tuple(each.name for each in match.offered),
                chosen=match.offered.index(match.chosen) if match.chosen is not None else None,
                help=_("The volume that is the patient's {channel}.").format(channel=match.channel),
                choose=_Choice(self.presenter.choose_channel, match.channel, tuple(each.key for each in match.offered)),
            )
            for match in matches
        ]
        _fill(self.ui.channelsTable, self._channel_rows, rows)


class _Choice:
    """The slot of one row's list, which the table deletes with it; ``keys`` are what the list's entries mean."""

    def __init__(self, choose: Callable[[str, str], None], name: str, keys: tuple[str, ...]) -> None:
        self._choose, self._name, self._keys = choose, name, keys

    def __call__(self, index: int) -> None:
        key = self._keys[index - 1] if index > 0 else ""
        # Once the list's own signal is over: the answer to it may be another list in its place.
        qt.QTimer.singleShot(0, lambda: self._choose(self._name, key))


@dataclasses.dataclass(frozen=True)
class _Row:
    """A name, and a list of what it may be; ``chosen`` counts in ``offered``."""

    name: str
    offered: tuple[str, ...]
    chosen: int | None
    help: str
    choose: _Choice


def _fill(table: Any, connections: Connections, rows: list[_Row]) -> None:
    connections.disconnect_all()
    table.setRowCount(0)  # hides the old lists, which Qt deletes only later
    table.setRowCount(len(rows))
    for number, row in enumerate(rows):
        item = qt.QTableWidgetItem(row.name)
        item.setFlags(qt.Qt.ItemIsEnabled)
        item.setToolTip(row.help)
        table.setItem(number, 0, item)
        choice = qt.QComboBox()
        choice.addItem(NOT_CHOSEN)
        for entry in row.offered:
            choice.addItem(entry)
        choice.setCurrentIndex(row.chosen + 1 if row.chosen is not None else 0)
        choice.setToolTip(row.help)
        connections.connect(choice, "activated(int)", row.choose)
        table.setCellWidget(number, 1, choice)
