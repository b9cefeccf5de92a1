"""A table that the terminal, CSV files and pages share."""

import csv
import dataclasses
import io
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Table:
    """A header and rows of text, which are as long; the cells of ``marked`` rows need a person's eye."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: frozenset[int] = frozenset()

    def as_text(self) -> str:
        """For a terminal: columns side by side, the first set to the left, marked rows with a star behind."""
        lines = [self.header, *self.rows]
        first, *others = (max(len(row[n]) for row in lines) for n in range(len(self.header)))
        text = [
            "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
            for row in lines
        ]
        stars = ["", *(" *" if n in self.marked else "" for n in range(len(self.rows)))]
        return "".join((line + star).rstrip() + "\n" for line, star in zip(text, stars, strict=True))

    def as_csv(self) -> str:
        """For a spreadsheet."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([self.header, *self.rows])
        return text.getvalue()
