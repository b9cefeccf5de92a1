"""The widgets of SlicerVAEAnomalies.ui."""

from typing import Any

import qt

from ..labels import offer, write
from ..presenters.anomalies import AnomaliesPresenter, AnomaliesState, RegionRow
from ..section import Panel, Section
from ..section_view import SectionView
from ..translation import tr as _

TIP = _("Map what the model can't explain in the input.")


def open_section(ui: Any, panel: Panel) -> Section:
    """Put the section together."""
    return AnomaliesSection(ui, lambda view: AnomaliesPresenter(view, panel))


class AnomaliesSection(SectionView[AnomaliesPresenter]):
    """Draws AnomaliesState; a click on a region moves the slice views there."""

    def listen(self) -> None:
        """Connect the widgets."""
        self._drawn: tuple[RegionRow, ...] = ()
        ui, presenter, connect = self.ui, self.presenter, self.connections.connect
        connect(ui.findButton, "clicked()", presenter.find)
        connect(ui.overlayButton, "clicked()", presenter.show_overlay)
        connect(ui.segmentButton, "clicked()", presenter.segment)
        connect(ui.chartButton, "clicked()", presenter.show_chart)
        connect(ui.regionTable, "cellClicked(int,int)", self._on_cell)

    def draw(self, state: AnomaliesState) -> None:
        """Show the state."""
        ui = self.ui
        offer(ui.findButton, state.hint, TIP, is_idle=state.is_idle)
        ui.alarmLevelSlider.suffix = _sign(state.unit)
        for widget in (ui.overlayButton, ui.chartButton):
            widget.setEnabled(state.has_map)
        ui.segmentButton.setEnabled(bool(state.rows))
        write(ui.summaryLabel, state.summary)
        ui.regionTable.setVisible(bool(state.rows))
        if state.rows != self._drawn:
            self._drawn = state.rows
            self._fill_table(state.rows)

    def _fill_table(self, rows: tuple[RegionRow, ...]) -> None:
        table = self.ui.regionTable
        table.setRowCount(len(rows))
        for index, row in enumerate(rows):
            for column, text in enumerate((row.peak, row.mean, row.volume, row.position_lps, row.place)):
                item = qt.QTableWidgetItem(text)
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                table.setItem(index, column, item)
        table.resizeColumnsToContents()

    def _on_cell(self, row: int, _column: int) -> None:
        self.presenter.jump_to(row)


def _sign(unit: str) -> str:
    """A unit as short as a narrow panel wants it; the legend and the summary spell it out."""
    return f" {'z' if unit.endswith('z-score') else unit.split()[0]}" if unit else ""
