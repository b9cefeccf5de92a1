"""The widgets of SlicerVAEBatch.ui."""

from typing import Any

import qt
import slicer

from ..batch_report import BatchRow
from ..labels import offer
from ..presenters.batch import BatchPresenter, BatchState
from ..section import Panel, Section
from ..section_view import SectionView
from ..translation import tr as _

TIP = _("Run the model on each volume and write its maps, result.json and a report into the output folder.")


def open_section(ui: Any, panel: Panel) -> Section:
    """Put the section together."""
    return BatchSection(ui, lambda view: BatchPresenter(view, panel))


class BatchSection(SectionView[BatchPresenter]):
    """Draws BatchState."""

    def listen(self) -> None:
        """Connect the widgets."""
        self._drawn: tuple[BatchRow, ...] = ()
        self.connections.connect(self.ui.batchButton, "clicked()", self.presenter.run)

    def draw(self, state: BatchState) -> None:
        """Show the state."""
        ui = self.ui
        offer(ui.batchButton, state.hint, TIP, is_idle=state.is_idle)
        for widget in (ui.batchFolderLabel, ui.batchFolderEdit):
            widget.setVisible(state.from_folder)
        ui.reportTable.setVisible(bool(state.rows))
        if state.rows != self._drawn:
            self._drawn = state.rows
            self._fill_table(state.rows)

    def let_live(self) -> None:
        """Let Qt take in what is pressed."""
        slicer.app.processEvents()

    def _fill_table(self, rows: tuple[BatchRow, ...]) -> None:
        table = self.ui.reportTable
        table.setRowCount(len(rows))
        for index, row in enumerate(rows):
            p_value = "" if row.patient_p_value is None else f"{row.patient_p_value:.2g}"
            for column, text in enumerate((row.volume, p_value, row.outcome)):
                item = qt.QTableWidgetItem(text)
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                item.setToolTip(text)
                table.setItem(index, column, item)
        for column in (0, 1):  # the last one takes what is left
            table.resizeColumnToContents(column)
        table.resizeRowsToContents()  # reasons take several lines
