"""What the presenter needs of the outside: a window, somebody who computes, an installer."""

from typing import Protocol

from ..core.engine import Reconstruction, ReconstructRequest, Synthesis, SynthesizeRequest
from ..core.errors import Cancelled, UserError
from ..core.progress import Progress
from ..scene.jobs import MapNodes
from ..scene.nodes import VolumeNode
from .state import PanelState

Request = ReconstructRequest | SynthesizeRequest
Result = Reconstruction | Synthesis


class View(Protocol):
    """The window's side."""

    def draw(self, state: PanelState) -> None:
        """Show the state."""
        ...

    def show_maps(self, input_volume: VolumeNode, maps: MapNodes) -> None:
        """Bring new maps into the slice views."""
        ...

    def show_samples(self, samples: VolumeNode) -> None:
        """Bring synthetic slices into the slice views."""
        ...


class RunListener(Protocol):
    """Who is told how a request goes: any progress, then exactly one of the two others."""

    def progressed(self, progress: Progress) -> None:
        """The request went on."""
        ...

    def finished(self, result: Result) -> None:
        """The request is answered."""
        ...

    def failed(self, error: UserError | Cancelled) -> None:
        """The request came to nothing."""
        ...


class Runner(Protocol):
    """Whoever computes, one request at a time, without making the caller wait."""

    def start(self, request: Request, listener: RunListener) -> None:
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
