"""What a section of the panel is, and what all sections share."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..core.errors import listed
from ..core.manifest import Manifest
from ..scene.slice_views import SliceNode, red_view
from ..scene.watch import NodeWatch
from .chosen_channels import what_may_be_chosen
from .chosen_input import ChosenInput
from .chosen_model import ChosenModel
from .ports import Installation, Request, Runner
from .runs import Runs
from .state import RunState
from .translation import tr as _

if TYPE_CHECKING:
    from ..core.engine import Hardware


@dataclasses.dataclass(frozen=True)
class SectionName:
    """A section's place in the panel: ``key`` names its module in ``panel.sections``, ``SlicerVAE{Key}.ui`` and the
    header ``{key}Section`` of SlicerVAE.ui."""

    key: str

    @property
    def ui_file(self) -> str:
        """The .ui file in Resources/UI."""
        return f"SlicerVAE{self.key.capitalize()}.ui"

    @property
    def header(self) -> str:
        """The collapsible button in SlicerVAE.ui."""
        return f"{self.key}Section"


SECTIONS = tuple(
    SectionName(key) for key in ("model", "input", "reconstruct", "anomalies", "synthesize", "similar", "batch")
)


class Section(Protocol):
    """An open section. Everything is called in the window's thread."""

    def refresh(self) -> None:
        """Draw what the parameters, the model, the packages and the run state now ask for. It is called after any of
        them changed, so it is quick and does nothing else."""
        ...

    def scene_closes(self) -> None:
        """Let go of every node."""
        ...

    def close(self) -> None:
        """Undo all connections and observers: the module is reloaded or the application ends."""
        ...


class Panel:
    """What the sections share: the parameter node, the chosen model and input, the packages, the runs.

    ``parameters`` is the scene's parameter node (``panel.parameters``), None between two scenes; a section reads and
    writes its fields, and every change, its own included, is followed by ``refresh`` of all open sections. ``missing``
    are the packages that have to be installed; nobody knows them before the first ``look_again``, for looking takes as
    long as a fifth of opening the panel.
    """

    def __init__(
        self, make_runner: Callable[[], Runner[Request]], installation: Installation, draw_strip: Callable[[], None]
    ) -> None:
        self.parameters: Any = None
        self.installation = installation
        self.model, self.input = ChosenModel(), ChosenInput()
        self.runs = Runs(make_runner, self.refresh, draw_strip)
        self.missing: tuple[str, ...] = ()
        self._draw_strip = draw_strip
        self._sections: list[Section] = []
        self._is_refreshing, self._is_stale = False, False
        self._watch = NodeWatch(self.refresh)

    def open(self, section: Section) -> None:
        """Keep a section up to date from now on."""
        self._sections.append(section)
        self.refresh()

    def show(self, parameters: Any) -> None:
        """Show another parameter node, or none (None)."""
        self.parameters = parameters
        self.refresh()

    def look_again(self) -> None:
        """Look again at what other programs may have changed: the packages and the model."""
        self.missing = self.installation.missing()
        self.model.forget()
        self.refresh()

    def refresh(self) -> None:
        """Draw everything that is open."""
        self._is_stale = True
        if self._is_refreshing:  # a section that draws may change a parameter
            return
        self._is_refreshing = True
        try:
            while self._is_stale:
                self._is_stale = False
                self._draw()
        finally:
            self._is_refreshing = False

    def scene_closes(self) -> None:
        """Let go of the scene's nodes; what runs is given up."""
        self.parameters = None
        self.input.forget()
        self._watch.follow(())
        for section in self._sections:
            section.scene_closes()
        self.runs.scene_closes()

    def close(self) -> None:
        """End what runs, the model's process and all sections."""
        self._watch.follow(())
        for section in self._sections:
            section.close()
        self._sections = []
        self.runs.close()

    @property
    def hint(self) -> str:
        """What every run lacks, as a sentence; empty when a model can be asked."""
        if self.missing:
            return _("Install {packages} first.").format(packages=listed(self.missing))
        if self.model.manifest is None:
            return _("Choose another model.") if self.model.complaint else _("Choose a model.")
        return ""

    @property
    def is_idle(self) -> bool:
        """Whether something can be begun."""
        return self.runs.state is RunState.IDLE

    @property
    def bundle(self) -> Path:
        """The chosen model's folder; only where ``hint`` is empty."""
        return self.model.bundle

    @property
    def manifest(self) -> Manifest:
        """The chosen model's description; only where ``hint`` is empty."""
        assert self.model.manifest is not None, "asked for the model before looking at the hint"
        return self.model.manifest

    @property
    def hardware(self) -> "Hardware":
        """Where the person wants the model to compute."""
        from ..core.engine import Hardware  # with all that only a run needs

        return Hardware(self.parameters.device.value, self.parameters.precision.value)

    def _current_slice(self) -> SliceNode | None:
        node = self.parameters.inputVolume
        return red_view(node.GetScene()) if node is not None and self.parameters.currentSliceOnly else None

    def _watched(self) -> tuple[Any, ...]:
        node, manifest = self.parameters.inputVolume, self.model.manifest
        further = what_may_be_chosen(node) if manifest is not None and manifest.preprocessing.channels[1:] else ()
        return (node, self.parameters.structures, self._current_slice(), *further)

    def _draw(self) -> None:
        if self.parameters is not None:
            self.model.choose(self.parameters.modelPath)
            self._watch.follow(self._watched())
            self.input.choose(self.parameters.inputVolume, self.model.manifest)
            for section in self._sections:
                section.refresh()
        self._draw_strip()
