"""The model's picture of the input, and the difference between the two."""

import dataclasses
import time
from typing import Any, Protocol

from ...scene import slice_views
from ...scene.nodes import VolumeNode
from ...scene.provenance import RECONSTRUCTION, RESIDUAL
from ...scene.shared_window import SharedWindow
from ..maps_run import run_maps
from ..outcome import done
from ..readiness import what_a_run_lacks
from ..runs import Task
from ..section import Panel
from ..slice_layout import Layout, show_over, show_side_by_side

RESIDUAL_OPACITY = 0.5


@dataclasses.dataclass(frozen=True)
class ReconstructState:
    """What the section shows; a hint is empty when the button can be pressed."""

    hint: str
    is_idle: bool
    has_reconstruction: bool
    has_residual: bool


class ReconstructView(Layout, Protocol):
    """The section's widgets."""

    def draw(self, state: ReconstructState) -> None:
        """Show the state."""
        ...


class ReconstructPresenter:
    """Reconstructs, and shows input and reconstruction together, in one window and level."""

    def __init__(self, view: ReconstructView, panel: Panel) -> None:
        self._view, self._panel = view, panel
        self._window = SharedWindow()

    def refresh(self) -> None:
        """Draw the section, and blend as the slider says."""
        parameters = self._panel.parameters
        self._view.draw(
            ReconstructState(
                hint=what_a_run_lacks(self._panel),
                is_idle=self._panel.is_idle,
                has_reconstruction=_shown(parameters.inputVolume, parameters.reconstructionVolume),
                has_residual=_shown(parameters.inputVolume, parameters.residualVolume),
            )
        )
        reconstruction = parameters.reconstructionVolume
        self._window.share(parameters.inputVolume, reconstruction)
        if reconstruction is not None:
            slice_views.set_opacity_over(reconstruction.GetScene(), reconstruction, parameters.blend)

    def scene_closes(self) -> None:
        """Let go of the nodes."""
        self._window.share(None, None)

    def close(self) -> None:
        """Undo the observers."""
        self._window.share(None, None)

    def reconstruct(self) -> None:
        """Reconstruct the input."""
        if self._panel.parameters is not None and not what_a_run_lacks(self._panel):
            self._panel.runs.begin(self._task())

    def blend(self) -> None:
        """Show the reconstruction over the input, as far as the slider says."""
        parameters = self._panel.parameters
        if _shown(parameters.inputVolume, parameters.reconstructionVolume):
            show_over(self._view, parameters.inputVolume, parameters.reconstructionVolume, parameters.blend)

    def side_by_side(self) -> None:
        """Show input and reconstruction in two linked views."""
        parameters = self._panel.parameters
        if _shown(parameters.inputVolume, parameters.reconstructionVolume):
            show_side_by_side(self._view, parameters.inputVolume, parameters.reconstructionVolume)

    def show_residual(self) -> None:
        """Show the residual over the input."""
        parameters = self._panel.parameters
        if _shown(parameters.inputVolume, parameters.residualVolume):
            show_over(self._view, parameters.inputVolume, parameters.residualVolume, RESIDUAL_OPACITY)

    def _task(self) -> Task:
        began, parameters = time.monotonic(), self._panel.parameters
        chosen = {RECONSTRUCTION: parameters.reconstructionVolume, RESIDUAL: parameters.residualVolume}
        run = yield from run_maps(self._panel, chosen)
        nodes = run.job.publish(run.result)
        parameters.reconstructionVolume, parameters.residualVolume = nodes.reconstruction, nodes.residual
        self.blend()
        return done(nodes.written, time.monotonic() - began, run.news)


def _shown(background: VolumeNode | Any, foreground: VolumeNode | Any) -> bool:
    return background is not None and foreground is not None
