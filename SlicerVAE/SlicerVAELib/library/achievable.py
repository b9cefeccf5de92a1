"""Achievable dose: what the organs of the most similar patients got."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from ..core.equivalent_dose import OrganDose
from .doses import DosedOrgan

FIGURES = {"mean_gy": "mean", "d0_03cc_gy": "D0.03cc"}
LEAST_PATIENTS = 3  # of whom quartiles mean something

Place = Literal["", "below", "within", "above"]


@dataclasses.dataclass(frozen=True)
class Achievable:
    """One figure of one organ over so many similar patients: quartiles and median; the query's ``own``, None where it
    has no dose there, and where that lies beside the quartiles, "" where there is none or are too few patients."""

    organ: str
    figure: str
    patients: int
    lower_quartile: float
    median: float
    upper_quartile: float
    own: float | None
    place: Place

    @property
    def is_outside(self) -> bool:
        """Whether the query's own value lies outside of the quartiles."""
        return self.place in ("below", "above")


def achievable_doses(own: Mapping[str, DosedOrgan], others: Sequence[Mapping[str, DosedOrgan]]) -> list[Achievable]:
    """Of every organ that one of the others has a dose to, in one measure with the query's; those that the query has
    first."""
    names = {name for organs in others for name in organs} - {"External"}
    found = []
    for name in sorted(names, key=lambda name: (name not in own, name)):
        for field, figure in FIGURES.items():
            values = [
                value
                for organs in others
                if name in organs and (value := _value(organs[name].figures, field)) is not None
            ]
            if values:
                found.append(_summary(name, figure, values, _value(own[name].figures, field) if name in own else None))
    return found


def _value(figures: OrganDose, field: str) -> float | None:
    value = getattr(figures, field)
    return None if value is None else float(value)


def _summary(organ: str, figure: str, values: Sequence[float], own: float | None) -> Achievable:
    lower, median, upper = (float(value) for value in np.percentile(values, (25, 50, 75)))
    place: Place = ""
    if own is not None and len(values) >= LEAST_PATIENTS:
        place = "below" if own < lower else "above" if own > upper else "within"
    return Achievable(organ, figure, len(values), lower, median, upper, own, place)
