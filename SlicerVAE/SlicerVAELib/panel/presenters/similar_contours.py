"""The contours of the patient beside those of the library."""

import dataclasses
import time
from typing import TYPE_CHECKING

from ...core.errors import listed
from ...core.progress import Cancel
from ...library.access import open_library
from ...library.intake import structure_facts, target_of
from ..comparison import Comparison
from ..ports import Aside
from ..runs import Step, Task
from ..section import Panel
from ..similar_rows import TableRow, contour_row
from ..translation import tr as _
from .similar_finding import FIND_FIRST, Finding

if TYPE_CHECKING:
    from ...library.contour_check import Gaps

NO_STRUCTURES = _("Choose a structure set with standard names in the section Input, and find again.")


@dataclasses.dataclass(frozen=True)
class ContoursState:
    """What the section shows."""

    hint: str
    rows: tuple[TableRow, ...]
    summary: str


@dataclasses.dataclass(frozen=True)
class _Checked:
    rows: tuple[TableRow, ...]
    gaps: tuple["Gaps", ...]


class Contours:
    """Checks when it is asked to; what it found belongs to one comparison."""

    def __init__(self, panel: Panel, finding: Finding) -> None:
        self._panel, self._finding = panel, finding
        self._compared: Comparison | None = None
        self._checked = _Checked((), ())

    def state(self) -> ContoursState:
        """What to show."""
        if self._finding.comparison is not self._compared:
            self.forget()
        summary = _summary(self._checked) if self._compared is not None else ""
        return ContoursState(self.hint(), self._checked.rows, summary)

    def hint(self) -> str:
        """What has to be done first."""
        comparison = self._finding.comparison
        if comparison is None:
            return FIND_FIRST
        return "" if comparison.job.volume.masks else NO_STRUCTURES

    def forget(self) -> None:
        """Hold on to nothing of the scene."""
        self._compared, self._checked = None, _Checked((), ())

    def check(self) -> None:
        """Hold each structure against the library's."""
        if not self.hint():
            self._panel.runs.begin(self._task())

    def _task(self) -> Task:
        began, comparison = time.monotonic(), self._finding.comparison
        assert comparison is not None, "begun without a look at the hint"
        self._checked = yield Step(Aside(lambda _progress, cancel: _check(comparison, cancel)))
        self._compared = comparison
        return _("Checked the contours in {seconds:.1f} s.").format(seconds=time.monotonic() - began)


def _check(comparison: Comparison, cancel: Cancel) -> _Checked:
    from ...library.contour_check import Placed, check_contours, gaps, placed_structures  # needs SQLAlchemy

    volume, encoded = comparison.job.volume, comparison.encoded
    origin_mm = float(encoded.slice_positions_mm[0, 2] - encoded.positions_mm[0])
    query = Placed(structure_facts(volume, target_of(volume)), encoded.position_origin, origin_mm)
    cancel.check()
    with open_library(comparison.job.library) as library:
        others = placed_structures(library, "symmetric-kl", comparison.found.neighbours.of_query)
    cancel.check()
    return _Checked(tuple(contour_row(each) for each in check_contours(query, others)), tuple(gaps(volume)))


def _summary(checked: _Checked) -> str:
    marked = sum(row.is_marked for row in checked.rows)
    sentences = [_("Outliers among {figures} figures: {marked}.").format(marked=marked, figures=len(checked.rows))]
    if checked.gaps:
        missing = listed(f"{each.structure} ({each.missing})" for each in checked.gaps)
        sentences.append(_("Slices without a contour between the ends: {missing}.").format(missing=missing))
    return " ".join(sentences)
