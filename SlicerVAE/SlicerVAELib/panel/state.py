"""What every part of the panel speaks of: the one run state, and sentences for the person."""

import dataclasses
import enum


class RunState(enum.Enum):
    """What the panel is doing; what can be pressed follows from it."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"
    INSTALLING = "installing"


@dataclasses.dataclass(frozen=True)
class Message:
    """A sentence for the person, and whether it tells of something that went wrong."""

    text: str = ""
    is_error: bool = False
