"""Many volumes, one after the other: all of a folder or of the scene, into an output folder with a report."""

import dataclasses
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Protocol

import slicer

from ...core.declaration import check
from ...core.engine import AnomalyOptions, Hardware, ReconstructRequest
from ...core.errors import Cancelled, UserError, listed
from ...core.manifest import Manifest
from ..batch_inputs import BatchInput, of_folder, of_scene
from ..batch_report import DONE, REPORT, BatchRow, write_report
from ..chosen_model import NO_PATH
from ..maps_run import anomaly_options, overridden
from ..offers import BatchSource
from ..runs import Step, Task
from ..section import Panel
from ..state import Message, RunState
from ..translation import tr as _

NOTHING_DONE = _("Cancelled; nothing was written.")


@dataclasses.dataclass(frozen=True)
class BatchState:
    """What the section shows; ``rows`` are the volumes done so far."""

    hint: str
    is_idle: bool
    from_folder: bool
    rows: tuple[BatchRow, ...]


class BatchView(Protocol):
    """The section's widgets."""

    def draw(self, state: BatchState) -> None:
        """Show the state."""
        ...

    def let_live(self) -> None:
        """Let the window take in what is pressed, in the middle of longer work."""
        ...


class BatchPresenter:
    """Runs the model on each volume; one that fails is told in the report, and the next follows."""

    def __init__(self, view: BatchView, panel: Panel) -> None:
        self._view, self._panel = view, panel
        self._rows: tuple[BatchRow, ...] = ()

    def refresh(self) -> None:
        """Draw the section."""
        from_folder = self._panel.parameters.batchSource is BatchSource.FOLDER
        self._view.draw(BatchState(self._hint(), self._panel.is_idle, from_folder, self._rows))

    def scene_closes(self) -> None:
        """The report stays: its files do."""

    def close(self) -> None:
        """Nothing is observed."""

    def run(self) -> None:
        """Run the batch."""
        if self._panel.parameters is not None and not self._hint():
            self._panel.runs.begin(self._task())

    def _hint(self) -> str:
        panel, parameters = self._panel, self._panel.parameters
        if panel.hint:
            return panel.hint
        made = panel.manifest.preprocessing
        if needs := (*made.channels[1:], *made.structures):
            return _(
                "This model also needs {names}, which a batch can't give it; run 'slicervae reconstruct' with {option} "
                "on the command line for each patient."
            ).format(names=listed(needs), option="--channel" if made.channels[1:] else "--structures")
        if parameters.batchSource is BatchSource.FOLDER and parameters.batchFolder == NO_PATH:
            return _("Choose the folder with the volumes.")
        return _("Choose an output folder.") if parameters.batchOutput == NO_PATH else ""

    def _task(self) -> Task:
        plan = _Plan.of(self._panel)
        self._rows = ()
        inputs = self._find(plan)
        for number, each in enumerate(inputs):
            part = _Part.of(number, len(inputs), each, plan.out)
            began = time.monotonic()
            try:
                row = yield from self._run_one(plan, each, part)
            except UserError as error:
                row = BatchRow(each.name, each.source, str(error))
            self._rows += (dataclasses.replace(row, seconds=time.monotonic() - began),)
            write_report(plan.out, self._rows)
        done = sum(row.is_done for row in self._rows)
        return _("{done} of {all} volumes are done; {report} tells of each.").format(
            done=done, all=len(inputs), report=plan.out / REPORT
        )

    def _run_one(self, plan: "_Plan", each: BatchInput, part: "_Part") -> Generator[Step, Any, BatchRow]:
        from ...io.result_folder import write_result  # SimpleITK, which takes a second to import

        self._tell(_("{volume}: reading…").format(volume=part.label), part.cancelled)
        began = time.perf_counter()
        volume = each.read()
        read_s = time.perf_counter() - began
        warnings = check(volume, plan.manifest.declaration, plan.manifest.title, override=True)
        if warnings and not plan.with_warnings:
            return BatchRow(
                each.name,
                each.source,
                _("not run, because of warnings: {warnings}").format(warnings=" ".join(warnings)),
            )
        request = ReconstructRequest(
            plan.bundle, volume, anomaly=plan.options, hardware=plan.hardware, override=bool(warnings)
        )
        result = yield Step(request, part.label, part.start, part.end, part.cancelled)
        if warnings:
            result = overridden(result)
        self._tell(_("{volume}: writing…").format(volume=part.label), part.cancelled)
        summary = write_result(plan.out / each.name, volume, result, read_s=read_s)
        seen = summary["seen_by_the_model"]
        return BatchRow(each.name, each.source, DONE, 0.0, result.patient_p_value, seen, warnings)

    def _find(self, plan: "_Plan") -> tuple[BatchInput, ...]:
        if plan.folder is None:
            return of_scene(slicer.mrmlScene)
        sentence = _("Looking for volumes…")
        return of_folder(plan.folder, lambda _: self._tell(sentence, NOTHING_DONE))

    def _tell(self, text: str, cancelled: str) -> None:
        """Say what is being done, and let the window live, in which the person may cancel it."""
        self._panel.runs.say(Message(text))
        self._view.let_live()
        if self._panel.runs.state is not RunState.RUNNING:
            raise Cancelled(cancelled)


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """What was chosen when the batch began; a ``folder`` of None is the scene."""

    manifest: Manifest
    folder: Path | None
    out: Path
    with_warnings: bool
    bundle: Path
    options: AnomalyOptions
    hardware: Hardware

    @classmethod
    def of(cls, panel: Panel) -> "_Plan":
        chosen = panel.parameters
        return cls(
            panel.manifest,
            chosen.batchFolder if chosen.batchSource is BatchSource.FOLDER else None,
            chosen.batchOutput,
            chosen.batchWithWarnings,
            panel.bundle,
            anomaly_options(chosen),
            panel.hardware,
        )


@dataclasses.dataclass(frozen=True)
class _Part:
    """One volume's share of the batch, as ``Step`` takes it."""

    label: str
    start: float
    end: float
    cancelled: str

    @classmethod
    def of(cls, number: int, count: int, each: BatchInput, out: Path) -> "_Part":
        before = _("Cancelled; what was done before is in {folder}, and {report} tells of it.")
        before = before.format(folder=out, report=REPORT)
        label = _("{volume} ({number} of {count})").format(volume=each.name, number=number + 1, count=count)
        return cls(label, number / count, (number + 1) / count, before if number else NOTHING_DONE)
