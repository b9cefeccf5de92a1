"""Qt connections that can't silently fail and are all undone at the end.

PythonQt prints and returns False for a signal that does not exist, and a connection keeps its callable alive for as
long as the widget lives.
"""

from collections.abc import Callable
from typing import Any, Protocol


class Sender(Protocol):
    """A QObject as PythonQt wraps it."""

    def connect(self, signal: str, slot: Callable[..., Any]) -> bool:
        """Connect a signal, given with its argument types, to a callable; False when there is no such signal."""
        ...

    def disconnect(self, signal: str, slot: Callable[..., Any]) -> bool:
        """Undo it."""
        ...


class Connections:
    """Connections made together and undone together."""

    def __init__(self) -> None:
        self._made: list[tuple[Sender, str, Callable[..., Any]]] = []

    def connect(self, sender: Sender, signal: str, slot: Callable[..., Any]) -> None:
        """Connect, or raise ValueError when ``sender`` has no such signal."""
        if not sender.connect(signal, slot):
            raise ValueError(f"{sender} has no signal {signal}")
        self._made.append((sender, signal, slot))

    def disconnect_all(self) -> None:
        """Undo every connection made so far."""
        while self._made:
            sender, signal, slot = self._made.pop()
            sender.disconnect(signal, slot)
