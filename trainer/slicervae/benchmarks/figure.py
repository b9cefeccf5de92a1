"""One measured figure beside the target it is held against."""

import dataclasses
from typing import Literal

HEADER = "| figure | measured | target | |\n| --- | --- | --- | --- |"


@dataclasses.dataclass(frozen=True)
class Figure:
    """What was measured, its value with its unit, and the target that it should not pass."""

    what: str
    value: float
    unit: str = ""
    target: float | None = None
    sense: Literal["at most", "at least"] = "at most"

    @property
    def is_met(self) -> bool:
        """Whether the value keeps the target; true without one."""
        if self.target is None:
            return True
        return self.value <= self.target if self.sense == "at most" else self.value >= self.target

    @property
    def line(self) -> str:
        """The figure as a row of a table."""
        wanted = "" if self.target is None else f"{self.sense} {self.target:g} {self.unit}".rstrip()
        verdict = "" if self.target is None else ("met" if self.is_met else "NOT MET")
        return f"| {self.what} | {self.value:.3g} {self.unit} | {wanted} | {verdict} |"
