"""What the panel does when something is chosen, pressed or answered; without Qt, so that it is tested without a window.

Everything goes through one RunState: whatever arrives at the wrong time (a second press, an answer to a run that was
given up, the closing of the scene in the middle) finds a state in which it does nothing.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ..core.engine import Hardware, Reconstruction, Synthesis
from ..core.errors import Cancelled, UserError
from ..core.manifest import Manifest, read_manifest
from ..core.progress import Progress
from ..scene.jobs import MapsJob, SynthesisJob, prepare_maps, prepare_synthesis
from ..scene.nodes import VolumeNode
from ..scene.provenance import ANOMALY, RECONSTRUCTION, RESIDUAL
from .ports import Installation, Result, Runner, View
from .state import Choices, Message, PanelState, RunState

CANCELLED = Message("Cancelled; nothing was changed.")


@dataclasses.dataclass(frozen=True, eq=False)
class _Run:
    job: MapsJob | SynthesisJob
    began: float


class Presenter:
    """Decides what the panel shows and does; the RunListener of its own runs."""

    def __init__(self, view: View, runner: Runner, installation: Installation) -> None:
        self._view, self._runner, self._installation = view, runner, installation
        self._choices = Choices()
        self._state = RunState.IDLE
        self._run: _Run | None = None
        self._fraction: float | None = None
        self._status = Message()
        self._model = Message()
        self._missing = installation.missing()
        self._draw()

    @property
    def state(self) -> PanelState:
        """What the panel shows now."""
        needs = self._what_every_run_lacks()
        return PanelState(
            run=self._state,
            model=self._model,
            status=self._status,
            apply_hint=needs or ("" if self._choices.input else "Choose an input volume."),
            create_hint=needs,
            needs_install=bool(self._missing),
            fraction=self._fraction,
        )

    def choose(self, choices: Choices) -> None:
        """Take in what the person chose."""
        if choices.bundle != self._choices.bundle:
            self._model = _read_model(choices.bundle)
        self._choices = choices
        self._draw()

    def refresh(self) -> None:
        """Look again at what other programs may have changed: the packages and the model."""
        self._missing = self._installation.missing()
        self._model = _read_model(self._choices.bundle)
        self._draw()

    def apply(self) -> None:
        """Send the input volume through the model."""
        choices = self._choices
        if not self.state.can_apply or choices.bundle is None:
            return
        chosen = {RECONSTRUCTION: choices.reconstruction, RESIDUAL: choices.residual, ANOMALY: choices.anomaly}
        hardware, bundle = Hardware(choices.device), choices.bundle
        self._begin(lambda: prepare_maps(choices.input, bundle, chosen, hardware=hardware))

    def create_samples(self) -> None:
        """Draw synthetic slices from the model."""
        choices = self._choices
        if not self.state.can_create or choices.bundle is None:
            return
        hardware, bundle = Hardware(choices.device), choices.bundle
        self._begin(lambda: prepare_synthesis(bundle, choices.sample_count, choices.sample_seed, hardware=hardware))

    def cancel(self) -> None:
        """Stop what runs."""
        if self._state is RunState.RUNNING:
            self._give_up(Message("Cancelling…"))

    def install(self) -> None:
        """Install what is missing, asking first."""
        if not self.state.can_install:
            return
        self._state = RunState.INSTALLING
        self._say(Message(f"Installing {_listed(self._missing)}; this can take several minutes…"))
        outcome = Message("The installation was interrupted; the application log says more.", is_error=True)
        try:
            self._installation.install()
            outcome = Message("Installed.")
        except UserError as error:
            outcome = Message(str(error), is_error=True)
        except Cancelled:
            outcome = Message("Nothing was installed.")
        finally:
            self._state = RunState.IDLE
            self._missing = self._installation.missing()
            self._say(outcome)

    def scene_closes(self) -> None:
        """Let go of the scene's nodes; what runs has nowhere to be written any more."""
        self._choices = Choices(bundle=self._choices.bundle)
        if self._state is RunState.RUNNING:
            self._give_up(Message("The scene was closed; cancelling…"))
        elif self._state is RunState.IDLE:
            self._say(Message())

    def close(self) -> None:
        """End what runs and the model's process."""
        self._run, self._state = None, RunState.IDLE
        self._runner.close()

    def progressed(self, progress: Progress) -> None:
        """Show how far the run is."""
        if self._state is RunState.RUNNING:
            self._fraction = progress.fraction
            self._say(Message(f"{progress.stage[:1].upper()}{progress.stage[1:]}{_time_left(progress.remaining_s)}"))

    def finished(self, result: Result) -> None:
        """Write the answer into the scene, unless the run was given up."""
        run = self._end()
        if run is None:
            self._say(CANCELLED)
            return
        outcome = Message("The result could not be written; the application log says more.", is_error=True)
        try:
            written = self._publish(run.job, result)
            outcome = Message(_done(written, time.monotonic() - run.began, result.notices))
        except UserError as error:
            outcome = Message(str(error), is_error=True)
        finally:
            self._say(outcome)

    def failed(self, error: UserError | Cancelled) -> None:
        """Say why there is no answer."""
        self._end()
        self._say(CANCELLED if isinstance(error, Cancelled) else Message(str(error), is_error=True))

    def _what_every_run_lacks(self) -> str:
        if self._missing:
            return f"Install {_listed(self._missing)} first."
        if not self._model.text:
            return "Choose a model."
        return "Choose another model." if self._model.is_error else ""

    def _begin(self, prepare: Callable[[], MapsJob | SynthesisJob]) -> None:
        try:
            job = prepare()
        except UserError as error:
            self._say(Message(str(error), is_error=True))
            return
        self._run, self._state, self._fraction = _Run(job, time.monotonic()), RunState.RUNNING, None
        self._say(Message("Starting…"))
        try:
            self._runner.start(job.request, self)
        except UserError as error:
            self.failed(error)

    def _give_up(self, message: Message) -> None:
        self._run, self._state, self._fraction = None, RunState.CANCELLING, None
        self._say(message)
        self._runner.cancel()

    def _end(self) -> _Run | None:
        run, self._run = self._run, None
        self._state, self._fraction = RunState.IDLE, None
        return run

    def _publish(self, job: MapsJob | SynthesisJob, result: Result) -> tuple[VolumeNode, ...]:
        if isinstance(job, MapsJob) and isinstance(result, Reconstruction):
            maps = job.publish(result)
            self._view.show_maps(job.input.node, maps)
            return maps.written
        if isinstance(job, SynthesisJob) and isinstance(result, Synthesis):
            samples = job.publish(result)
            self._view.show_samples(samples)
            return (samples,)
        raise TypeError(f"a {type(result).__name__} is no answer to a {type(job.request).__name__}")

    def _say(self, message: Message) -> None:
        self._status = message
        self._draw()

    def _draw(self) -> None:
        self._view.draw(self.state)


def _read_model(bundle: Path | None) -> Message:
    if bundle is None:
        return Message()
    try:
        return Message(_summary(read_manifest(bundle)))
    except UserError as error:
        return Message(str(error), is_error=True)


def _summary(manifest: Manifest) -> str:
    made_for = manifest.declaration
    side = made_for.field_of_view_mm
    facts = [
        f"{manifest.title}: {made_for.modality} {made_for.body_part}".strip(),
        f"field of view {side:.0f} × {side:.0f} mm",
        f"trained on {made_for.training_patients} patient{'' if made_for.training_patients == 1 else 's'}",
    ]
    warning = " A demonstration, not for clinical use." if made_for.is_demonstration else ""
    return f"{', '.join(facts)}. {made_for.intended_use}{warning}".strip()


def _done(nodes: Iterable[VolumeNode], seconds: float, notices: Iterable[str]) -> str:
    written = _listed(tuple(f"'{node.GetName()}'" for node in nodes))
    return "\n".join([f"Done in {seconds:.0f} s: {written}.", *notices])


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return "…"
    return f", about {seconds:.0f} s left" if seconds < 90 else f", about {seconds / 60:.0f} min left"


def _listed(words: tuple[str, ...]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
