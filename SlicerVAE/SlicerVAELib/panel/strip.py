"""What the strip below the sections shows: warnings before a run, progress in it, the status after it."""

import dataclasses

from .readiness import is_overridden, warnings_of
from .section import Panel
from .state import Message, RunState


@dataclasses.dataclass(frozen=True)
class StripState:
    """``fraction`` None means that work goes on without a known end."""

    run: RunState
    status: Message
    warnings: tuple[str, ...]
    is_overridden: bool
    fraction: float | None

    @property
    def is_working(self) -> bool:
        """Whether the progress bar belongs on the panel."""
        return self.run in (RunState.RUNNING, RunState.CANCELLING)

    @property
    def can_cancel(self) -> bool:
        """Whether there is something to cancel."""
        return self.run is RunState.RUNNING


def strip_state(panel: Panel) -> StripState:
    """Return what the strip shows now."""
    runs, has_scene = panel.runs, panel.parameters is not None
    warnings = warnings_of(panel) if has_scene else ()
    return StripState(runs.state, runs.status, warnings, bool(warnings) and is_overridden(panel), runs.fraction)
