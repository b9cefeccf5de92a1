"""Rows of words, and pictures, in the tables of a section."""

from collections.abc import Iterable, Sequence
from typing import Any

import qt

from .similar_rows import PatientRow, TableRow

MARK = "#d9534f"  # legible on the light and the dark style
MARGIN = 4


def fill_table(table: Any, rows: Sequence[TableRow]) -> None:
    """Show the rows, the marked ones in red."""
    table.setRowCount(len(rows))
    for index, row in enumerate(rows):
        _fill_row(table, index, row.cells, "")
        if row.is_marked:
            for column in range(len(row.cells)):
                table.item(index, column).setForeground(qt.QBrush(qt.QColor(MARK)))
    table.resizeColumnsToContents()


def fill_patients(table: Any, rows: Sequence[PatientRow], icon_px: int) -> None:
    """Show the patients, each with a picture where there is one; what a KL means is the tooltip."""
    table.setRowCount(len(rows))
    for index, row in enumerate(rows):
        cells = (row.pseudonym, row.closer_than, row.divergence, row.geometry, row.level, row.slices)
        _fill_row(table, index, (*cells, row.plan, row.structures, row.doses), row.meaning)
        if row.picture:
            picture = qt.QPixmap()
            picture.loadFromData(qt.QByteArray(row.picture))
            table.item(index, 0).setIcon(qt.QIcon(picture))
            table.setRowHeight(index, icon_px + MARGIN)
    table.resizeColumnsToContents()


def _fill_row(table: Any, index: int, cells: Iterable[str], tip: str) -> None:
    for column, text in enumerate(cells):
        item = qt.QTableWidgetItem(text)
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
        item.setToolTip(tip or text)
        table.setItem(index, column, item)
