"""Pictures of nobody: samples drawn from the model, and the explorer of its latents."""

import dataclasses
import functools
import time
from typing import Any, Protocol

import slicer

from ...core.engine import DecodeRequest
from ...scene.jobs import SynthesisJob, prepare_synthesis
from ...scene.nodes import VolumeNode
from ..explorer import Explorer, ExplorerState
from ..latent_sliders import LatentSliders
from ..outcome import done
from ..patient_path import latents_of_both
from ..runs import Step, Task
from ..section import Panel
from ..translation import tr as _

CHOOSE_TWO = _("Choose the input and another patient.")


@dataclasses.dataclass(frozen=True)
class SynthesizeState:
    """What the section shows; a hint is empty when the button can be pressed."""

    hint: str
    path_hint: str
    is_idle: bool
    explorer: ExplorerState


class SynthesizeView(Protocol):
    """The section's widgets."""

    def draw(self, state: SynthesizeState) -> None:
        """Show the state."""
        ...

    def show_picture(self, node: VolumeNode) -> None:
        """Bring a new picture into the red slice view."""
        ...


class SynthesizePresenter:
    """Draws samples and moves the explorer."""

    def __init__(self, view: SynthesizeView, panel: Panel) -> None:
        self._view, self._panel = view, panel
        self._explorer = Explorer(panel.runs, self._draw, view.show_picture)

    def refresh(self) -> None:
        """Draw the section; what was explored of another model is over."""
        if self._explorer.model is not None and (self._panel.hint or self._explorer.model != self._panel.bundle):
            self._explorer.end()
        self._explorer.go_on()
        self._draw()

    def scene_closes(self) -> None:
        """Let go of the picture."""
        self._explorer.scene_closes()

    def close(self) -> None:
        """Explore nothing any more."""
        self._explorer.end()

    def create_samples(self) -> None:
        """Add a volume of samples."""
        parameters, panel = self._panel.parameters, self._panel
        if parameters is None or panel.hint:
            return
        job = prepare_synthesis(
            panel.bundle,
            parameters.sampleCount,
            parameters.sampleSeed,
            temperature=parameters.sampleTemperature,
            prior=parameters.samplePrior.value,
            hardware=panel.hardware,
        )
        panel.runs.begin(_published(job))

    def reset(self) -> None:
        """Go to the middle of the prior; the first time, begin to explore."""
        panel = self._panel
        if panel.parameters is None or panel.hint:
            return
        if self._explorer.model is None:
            sliders_of = functools.partial(LatentSliders.of, panel.bundle, panel.manifest)
            self._explorer.begin(panel.bundle, sliders_of, panel.hardware)
        else:
            self._explorer.reset()

    def random(self) -> None:
        """Go to the next draw: the seed rises by one, so that each can be found again."""
        parameters = self._panel.parameters
        if parameters is None or self._explorer.model is None:
            return
        parameters.sampleSeed = (parameters.sampleSeed + 1) % 2**31
        self._explorer.random(parameters.sampleSeed, parameters.samplePrior.value, parameters.sampleTemperature)

    def move(self, slider: int, value: float) -> None:
        """Move one latent."""
        self._explorer.move(slider, value)

    def traverse(self, slider: int, is_wanted: bool) -> None:
        """Let a slider move by itself, or stop it."""
        self._explorer.traverse(slider if is_wanted else None)

    def tick(self) -> None:
        """Go one step on the traversal."""
        self._explorer.tick()

    def find_path(self) -> None:
        """Find the way from the input's slice in the red view to the same part of the other patient."""
        if self._panel.parameters is not None and not self._path_hint():
            self._panel.runs.begin(self._path_task())

    def go_along(self, share: float) -> None:
        """Go a share of the way between the two patients."""
        self._explorer.go_along(share)

    def keep_picture(self) -> None:
        """Add the picture as a volume of its own."""
        self._keep(self._explorer.request_of_point())

    def keep_path(self) -> None:
        """Add the pictures on the way between two patients as one volume."""
        self._keep(self._explorer.request_of_path())

    def _keep(self, request: DecodeRequest | None) -> None:
        if request is not None:
            self._panel.runs.begin(_published(SynthesisJob(request, slicer.mrmlScene)))

    def _path_task(self) -> Task:
        parameters = self._panel.parameters
        first, last = yield from latents_of_both(self._panel)
        if self._explorer.model is None:
            self.reset()
        self._explorer.set_path(first, last)
        return _(
            "Move 'Between patients' to go from '{one}' to '{other}'; every picture on the way is synthetic."
        ).format(one=parameters.inputVolume.GetName(), other=parameters.otherVolume.GetName())

    def _path_hint(self) -> str:
        parameters = self._panel.parameters
        if self._panel.hint:
            return self._panel.hint
        made = self._panel.manifest.preprocessing
        if made.channels[1:] or made.structures:
            return _("Only models of a single image can go from one patient to another.")
        if parameters.inputVolume is None or parameters.otherVolume is None:
            return CHOOSE_TWO
        return ""

    def _draw(self) -> None:
        if self._panel.parameters is None:
            return
        self._view.draw(
            SynthesizeState(
                hint=self._panel.hint,
                path_hint=self._path_hint(),
                is_idle=self._panel.is_idle,
                explorer=self._explorer.state,
            )
        )


def _published(job: SynthesisJob[Any]) -> Task:
    began = time.monotonic()
    result = yield Step(job.request)
    node = job.publish(result)
    return done([node], time.monotonic() - began, [_("It is synthetic: nobody's image."), *result.notices])
