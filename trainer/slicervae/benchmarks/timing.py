"""The wall time of a call."""

import time
from collections.abc import Callable
from typing import TypeVar

Outcome = TypeVar("Outcome")


def timed(call: Callable[[], Outcome]) -> tuple[float, Outcome]:
    """Seconds that ``call`` takes, and what it returns."""
    began = time.perf_counter()
    outcome = call()
    return time.perf_counter() - began, outcome
