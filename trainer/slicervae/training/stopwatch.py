"""Where the time of a training run goes: data, computing, validation, saving."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Adds up the wall seconds of named parts, to those that there are in ``seconds``."""

    def __init__(self, seconds: dict[str, float] | None = None) -> None:
        self.seconds = {} if seconds is None else seconds
        self._lap_began = time.perf_counter()

    def lap(self, name: str) -> None:
        """Add to ``name`` the time since the last lap, or since the beginning."""
        began, self._lap_began = self._lap_began, time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + self._lap_began - began

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time the block as ``name``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._add(name, began)

    def timed(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, the wait for each timed as ``name``."""
        iterator = iter(items)
        while True:
            began = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._add(name, began)
            yield item

    def _add(self, name: str, began: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
