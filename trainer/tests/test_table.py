"""One table for the terminal, for spreadsheets and for pages."""

import csv
import io

from slicervae.report import Report
from slicervae.table import Table

TABLE = Table(("organ", "mean (Gy)", ""), (("Heart", "3.1", ""), ("Lung <L>, upper", "12.0", "above")), frozenset({1}))


def test_columns_stand_below_each_other():
    assert TABLE.as_text().split("\n") == [
        "organ            mean (Gy)",
        "Heart                  3.1",
        "Lung <L>, upper       12.0  above *",
        "",
    ]


def test_a_header_without_rows():
    assert Table(("organ", "mean"), ()).as_text() == "organ  mean\n"


def test_a_spreadsheet_reads_the_cells_back():
    header, *rows = csv.reader(io.StringIO(TABLE.as_csv()))
    assert tuple(header) == TABLE.header
    assert [tuple(row) for row in rows] == list(TABLE.rows)


def test_a_page_shows_cells_as_they_are_and_marks_rows():
    report = Report("Doses", "of one patient")
    report.matrix(TABLE)
    page = report.html()
    assert "<tr><th>organ</th><th>mean (Gy)</th><th></th></tr><tr><td>Heart</td>" in page
    assert "<tr class=marked><td>Lung &lt;L&gt;, upper</td>" in page
    assert page.count("class=marked") == 1
