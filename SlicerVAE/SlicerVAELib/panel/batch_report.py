"""What became of each volume of a batch: report.csv beside the results."""

import csv
import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path

REPORT, DONE = "report.csv", "done"


@dataclasses.dataclass(frozen=True)
class BatchRow:
    """One volume: ``outcome`` is DONE or the sentence that says why not; the p-value is that of ``core.engine``, the
    share that of the voxels which the model saw."""

    volume: str
    source: str
    outcome: str
    seconds: float = 0.0
    patient_p_value: float | None = None
    seen_by_the_model: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether there are results."""
        return self.outcome == DONE


def write_report(folder: Path, rows: Iterable[BatchRow]) -> None:
    """Write the report of the volumes so far into ``folder``, in the place of an older one. Raises UserError."""
    from ..io.write import OutputFolder  # SimpleITK, which takes a second to import

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([field.name for field in dataclasses.fields(BatchRow)])
    for row in rows:
        values = dataclasses.astuple(dataclasses.replace(row, seconds=round(row.seconds, 1)))
        writer.writerow(["" if value is None else value for value in values[:-1]] + [" ".join(row.warnings)])
    with OutputFolder(folder) as hidden:
        (hidden / REPORT).write_bytes(
            text.getvalue().encode("utf-8-sig")
        )  # the mark lets spreadsheets see the encoding
