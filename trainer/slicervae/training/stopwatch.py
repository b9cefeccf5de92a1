"""Where the time of a training run goes: data, computing, validation, saving."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Adds up the wall seconds of named parts."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

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
