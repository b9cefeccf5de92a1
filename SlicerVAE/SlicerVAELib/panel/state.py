"""What the panel shows, as plain data: the presenter makes it, the view draws it."""

import dataclasses
import enum
from pathlib import Path

from ..scene.nodes import VolumeNode


class RunState(enum.Enum):
    """What the panel is doing; what can be pressed follows from it."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"
    INSTALLING = "installing"


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the person chose; None for an output asks for a new node."""

    input: VolumeNode | None = None
    bundle: Path | None = None
    reconstruction: VolumeNode | None = None
    residual: VolumeNode | None = None
    anomaly: VolumeNode | None = None
    device: str = "auto"
    sample_count: int = 16
    sample_seed: int = 0


@dataclasses.dataclass(frozen=True)
class Message:
    """A sentence for the person, and whether it tells of something that went wrong."""

    text: str = ""
    is_error: bool = False


@dataclasses.dataclass(frozen=True)
class PanelState:
    """Everything that changes on the panel.

    A hint is empty when the button can be pressed, otherwise it says what is missing. ``fraction`` None means that
    work goes on without a known end.
    """

    run: RunState
    model: Message
    status: Message
    apply_hint: str
    create_hint: str
    needs_install: bool
    fraction: float | None

    @property
    def can_apply(self) -> bool:
        """Whether a volume can be sent to the model."""
        return self.run is RunState.IDLE and not self.apply_hint

    @property
    def can_create(self) -> bool:
        """Whether samples can be drawn."""
        return self.run is RunState.IDLE and not self.create_hint

    @property
    def can_cancel(self) -> bool:
        """Whether there is something to cancel."""
        return self.run is RunState.RUNNING

    @property
    def can_install(self) -> bool:
        """Whether the installation can be started."""
        return self.run is RunState.IDLE and self.needs_install

    @property
    def is_working(self) -> bool:
        """Whether the progress bar belongs on the panel."""
        return self.run in (RunState.RUNNING, RunState.CANCELLING)
