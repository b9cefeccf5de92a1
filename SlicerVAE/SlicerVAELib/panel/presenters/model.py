"""The model: which one, what it was made for, where it computes, and the packages that its process needs."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...core.errors import UserError, listed
from ...core.free_memory import free_memory
from ..model_card import Row, rows_of
from ..ports import InfoRequest
from ..section import Panel
from ..state import Message
from ..translation import tr as _

if TYPE_CHECKING:
    from ...core.engine import EngineInfo


@dataclasses.dataclass(frozen=True)
class ModelState:
    """What the section shows; ``memory`` is the free memory of each device, once somebody asked."""

    card: tuple[Row, ...]
    complaint: str
    memory: str
    missing: str
    can_install: bool
    can_ask: bool
    has_demonstration: bool


class ModelView(Protocol):
    """The section's widgets."""

    def draw(self, state: ModelState) -> None:
        """Show the state."""
        ...


class ModelPresenter:
    """``demonstration`` is the folder of the built-in model, None where there is none."""

    def __init__(self, view: ModelView, panel: Panel, demonstration: Path | None = None) -> None:
        self._view, self._panel, self._demonstration = view, panel, demonstration
        self._memory = _in_words("cpu", free_memory())

    def refresh(self) -> None:
        """Draw the section."""
        panel, model = self._panel, self._panel.model
        self._view.draw(
            ModelState(
                card=rows_of(model.bundle, model.manifest) if model.manifest is not None else (),
                complaint=model.complaint,
                memory=self._memory,
                missing=_missing(panel.missing),
                can_install=panel.is_idle and bool(panel.missing),
                can_ask=panel.is_idle and not panel.missing,
                has_demonstration=self._demonstration is not None,
            )
        )

    def scene_closes(self) -> None:
        """Nothing of the scene is held."""

    def close(self) -> None:
        """Nothing is observed."""

    def use_demonstration(self) -> None:
        """Choose the model that comes with the module."""
        if self._demonstration is not None and self._panel.parameters is not None:
            self._panel.parameters.modelPath = self._demonstration

    def load_patient(self) -> None:
        """Bring the demonstration patient into the scene, with what the demonstration model found."""
        if self._panel.parameters is not None and self._panel.is_idle:
            from ..demonstration import show_demonstration_patient  # with what only reading the patient needs

            show_demonstration_patient(self._panel)

    def install(self) -> None:
        """Install what is missing from the network, asking first."""
        if self._panel.missing:
            self._install(self._panel.installation.install)

    def install_from(self, folder: Path) -> None:
        """Install what is missing from a folder of wheels, without any network."""
        if self._panel.missing:
            self._install(lambda: self._panel.installation.install_from(folder))

    def ask_memory(self) -> None:
        """Start the model's process, if there is none, and ask what it can compute on."""
        if self._panel.missing:
            return
        before, self._memory = self._memory, _("Asking…")
        if not self._panel.runs.ask(InfoRequest(), self._told, self._failed):
            self._memory = before
        self._panel.refresh()

    def _install(self, install: Callable[[], None]) -> None:
        wanted = listed(self._panel.missing)
        self._panel.runs.install(
            install, _("Installing {packages}; this can take several minutes…").format(packages=wanted)
        )
        self._panel.look_again()

    def _told(self, info: "EngineInfo") -> None:
        devices = (_in_words(name, info.free_memory.get(name, 0)) for name in info.devices)
        self._memory = "\n".join([*devices, f"(PyTorch {info.torch})"])
        self._panel.refresh()

    def _failed(self, error: UserError) -> None:
        self._memory = _in_words("cpu", free_memory())
        self._panel.runs.say(Message(str(error), is_error=True))


def _missing(packages: tuple[str, ...]) -> str:
    sentence = _("Missing in Slicer's Python: {packages}.")
    return sentence.format(packages=listed(packages)) if packages else ""


def _in_words(device: str, free_bytes: int) -> str:
    kind, *number = device.split(":")
    words = {"cpu": _("Processor"), "cuda": _("Graphics card"), "mps": _("Apple graphics")}.get(kind, kind)
    name = " ".join([words, *number])
    return _("{device}: {free:.1f} GB free").format(device=name, free=free_bytes / 1e9) if free_bytes else name
