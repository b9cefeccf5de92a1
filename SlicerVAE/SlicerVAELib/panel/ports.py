"""What the panel needs of the outside: somebody who computes, an installer."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, Union

from ..core.errors import Cancelled, UserError
from ..core.progress import Cancel, Listener, Progress

if TYPE_CHECKING:  # the worker's messages are not needed to open the panel
    from ..worker.questions import Request as Question


@dataclasses.dataclass(frozen=True)
class InfoRequest:
    """Ask for EngineInfo."""


@dataclasses.dataclass(frozen=True, eq=False)
class Aside:
    """Work of Slicer's own process for which the window must not stand still. ``work`` has no look at the scene and
    the widgets; it gets a listener and a Cancel, and raises UserError or Cancelled."""

    work: Callable[[Listener, Cancel], Any]

    @classmethod
    def of(cls, work: Callable[..., Any], *arguments: Any) -> "Aside":
        """Work that takes these arguments, too short to tell of its progress or to be cancelled in the middle."""
        return cls(lambda *_: work(*arguments))


ModelRequest: TypeAlias = Union[InfoRequest, "Question"]
Request: TypeAlias = ModelRequest | Aside
R = TypeVar("R", contravariant=True)


class RunListener(Protocol):
    """Who is told how a request goes: any progress, then exactly one of the two others."""

    def progressed(self, progress: Progress) -> None:
        """The request went on."""
        ...

    def finished(self, result: Any) -> None:
        """The request is answered: with what ``core.engine`` gives for it, or ``Aside.work`` returned."""
        ...

    def failed(self, error: UserError | Cancelled) -> None:
        """The request came to nothing."""
        ...


class Runner(Protocol[R]):
    """Whoever computes, one request at a time, without making the caller wait."""

    def start(self, request: R, listener: RunListener) -> None:
        """Begin; the listener may be told before this returns. Raises UserError when it can't begin."""
        ...

    def cancel(self) -> None:
        """Ask for the end of what runs; its listener is then told ``Cancelled``."""
        ...

    def close(self) -> None:
        """End everything; nobody is told any more."""
        ...


class Installation(Protocol):
    """The Python packages that the model's process needs."""

    def missing(self) -> tuple[str, ...]:
        """Return what is not there, in words for a person; empty when all is."""
        ...

    def install(self) -> None:
        """Install it, asking first. Raises UserError when that fails and Cancelled when the person declines."""
        ...

    def install_from(self, folder: Path) -> None:
        """Install it from a folder of wheels, without any network; raises as ``install``."""
        ...
