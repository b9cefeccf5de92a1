"""Who is like the patient of the scene: the search, loading one of them beside, and who that is."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...core.progress import Cancel, Listener
from ...library.access import load_site_key, open_library
from ...scene import slice_views
from ...scene.patient_beside import show_beside
from ...scene.similar_patients import RankingOptions, prepare_ranking
from ..comparison import Comparison
from ..encoding import as_chosen
from ..library_choice import site_key_file
from ..patient_search import search
from ..ports import Aside
from ..readiness import further_images, what_a_run_lacks
from ..runs import Step, Task
from ..section import Panel
from ..similar_rows import PatientRow
from ..slice_layout import Layout
from ..translation import tr as _
from .similar_library import Library

if TYPE_CHECKING:
    from ...scene.neighbour_nodes import FetchedPatient

ENCODING_SHARE = 0.6
FIND_FIRST = _("Find similar patients first.")
NO_KEY = _("Choose the file of the site's key; without it nobody learns who a patient is.")
LOGGED = _("Cancelled; the library's log may hold the request.")
CLOSER = _("Closer than: share of the pairs of different patients that are further apart.")
REPEATS = _("Repeat scans of one patient have a median KL of {nats} nats.")


@dataclasses.dataclass(frozen=True)
class FindingState:
    """The table and what can be done; ``identity`` tells who the patient is that was revealed last."""

    hint: str
    reveal_hint: str
    rows: tuple[PatientRow, ...]
    summary: str
    identity: str


class FindingView(Layout, Protocol):
    """Where the person is asked, and sees the patients."""

    def ask_reason(self, pseudonym: str) -> str:
        """Ask why the person has to know who a patient is; empty when nothing was said."""
        ...


class Finding:
    """``comparison`` is what was found last, None where that is of another input or library."""

    def __init__(self, view: FindingView, panel: Panel, library: Library) -> None:
        self._view, self._panel, self._library = view, panel, library
        self.comparison: Comparison | None = None
        self._identity = ""

    def state(self) -> FindingState:
        """What to show."""
        self._drop_stale()
        rows = self.comparison.rows if self.comparison is not None else ()
        return FindingState(
            hint=self.hint(),
            reveal_hint=self._reveal_hint(),
            rows=rows,
            summary=self._summary(),
            identity=self._identity,
        )

    def hint(self) -> str:
        """What has to be chosen first, empty when the search can begin."""
        return self._library.hint() or what_a_run_lacks(self._panel)

    def forget(self) -> None:
        """Hold on to nothing of the scene, and to nobody's name."""
        self.comparison, self._identity = None, ""

    def find(self) -> None:
        """Search."""
        self._panel.runs.begin(self._task())

    def load(self, row: int) -> None:
        """Load a patient beside the query, once the person said why."""
        self._with_reason(row, self._loading)

    def reveal(self, row: int) -> None:
        """Tell who a patient is, once the person said why."""
        self._with_reason(row, self._revealing)

    def _with_reason(self, row: int, task: Callable[[Comparison, str, Path, str], Task]) -> None:
        comparison = self.comparison
        if comparison is None or not 0 <= row < len(comparison.rows) or not self._panel.is_idle:
            return
        if (key := self._key()) is None:
            return
        pseudonym = comparison.rows[row].pseudonym
        if reason := self._view.ask_reason(pseudonym):
            self._panel.runs.begin(task(comparison, pseudonym, key, reason))

    def _task(self) -> Task:
        began, panel, parameters = time.monotonic(), self._panel, self._panel.parameters
        self.forget()
        job = prepare_ranking(
            parameters.inputVolume,
            self._library.address,
            panel.bundle,
            structures=parameters.structures,
            channels=further_images(panel),
            key=site_key_file(parameters.siteKeyPath),
            options=options_of(parameters),
            hardware=panel.hardware,
        )
        job = dataclasses.replace(job, request=as_chosen(panel, job.request))
        yield Step(Aside.of(job.check_library), end=0.0)
        encoded = yield Step(job.request, end=ENCODING_SHARE)
        work = Aside(lambda progress, cancel: search(job, encoded, progress, cancel))
        found = yield Step(work, start=ENCODING_SHARE)
        self.comparison = Comparison.of(job, encoded, found)
        count, seconds = len(self.comparison.rows), time.monotonic() - began
        sentence = (
            _("Found 1 patient in {seconds:.1f} s.") if count == 1 else _("Found {count} patients in {seconds:.1f} s.")
        )
        done = sentence.format(count=count, seconds=seconds)
        return "\n".join([done, *self.comparison.ranking.notices])

    def _loading(self, comparison: Comparison, pseudonym: str, key: Path, reason: str) -> Task:
        ranking = comparison.ranking

        def fetch(progress: Listener, cancel: Cancel) -> "FetchedPatient":
            from ...scene.neighbour_nodes import fetch_similar_patient  # SimpleITK, which takes a while to import

            return fetch_similar_patient(ranking, pseudonym, key, reason, progress=progress, cancel=cancel)

        ranking.check_query()
        fetched = yield Step(Aside(fetch), cancelled=LOGGED)
        nodes = fetched.publish()
        show_beside(ranking.input.node, nodes.volume, nodes.structures)
        self._view.once_laid_out(lambda: _present(comparison))
        done = _("{pseudonym} lies beside the patient, so that the same levels agree.").format(pseudonym=pseudonym)
        return "\n".join([done, *nodes.notices])

    def _revealing(self, comparison: Comparison, pseudonym: str, key: Path, reason: str) -> Task:
        address = comparison.job.library
        self._identity = ""

        def reveal() -> str:
            with open_library(address, load_site_key(key)) as library:
                return library.reveal(pseudonym, reason).patient_id

        patient_id = yield Step(Aside.of(reveal), cancelled=LOGGED)
        self._identity = _("{pseudonym} is the patient with the ID {id}.").format(pseudonym=pseudonym, id=patient_id)
        return _("The library's log tells that you looked up {pseudonym}, and why.").format(pseudonym=pseudonym)

    def _drop_stale(self) -> None:
        held = self.comparison
        if held is not None and not held.is_of(self._panel.parameters.inputVolume, self._library.address):
            self.forget()

    def _reveal_hint(self) -> str:
        if self.comparison is None:
            return self._library.hint() or FIND_FIRST
        return self._library.hint() or ("" if self._key() is not None else NO_KEY)

    def _key(self) -> Path | None:
        return None if self._library.hint() else site_key_file(self._panel.parameters.siteKeyPath)

    def _summary(self) -> str:
        if self.comparison is None:
            return ""
        scale = self.comparison.found.neighbours.scale
        if scale is None:
            return _("The library is too small to say what a KL means; compare the figures with each other only.")
        if scale.repeat_median is None:
            return CLOSER
        return f"{CLOSER} {REPEATS.format(nats=f'{scale.repeat_median:.4g}')}"


def _present(comparison: Comparison) -> None:
    scene, node = comparison.ranking.input.scene, comparison.ranking.input.node
    if node.GetScene() is scene:  # it may have been closed meanwhile
        slice_views.present(scene, node, comparison.found.shown_lps_mm)


def options_of(parameters: Any) -> RankingOptions:
    """What the person wants to be found."""
    from ...library.selection import Selection

    low, high = parameters.filterLowestDose, parameters.filterHighestDose
    selection = Selection(
        site=parameters.filterSite,
        laterality=parameters.filterLaterality,
        technique=parameters.filterTechnique,
        prescription_gy=(low, high or float("inf")) if low or high else None,
        structures=tuple(parameters.filterStructures),
    )
    return RankingOptions(parameters.neighbourCount, parameters.rankBy.value, selection)
