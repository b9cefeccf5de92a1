"""What becomes of the reconstruction error from model to model."""

import dataclasses
from collections.abc import Sequence

from matplotlib.figure import Figure

from ..averages import Average
from .style import CYCLE, charts

ERROR = "mean squared error"


@dataclasses.dataclass(frozen=True)
class Point:
    """A model, the recipe that it is of, its value of some quantity, and its error."""

    title: str
    recipe: str
    value: float
    error: Average


def draw_against(points: Sequence[Point], quantity: str) -> Figure:
    """The errors of models against a quantity, with trials' deviations as bars; lines join models of one recipe."""
    figure, (axis,) = charts(1, width=6.4, height=3.6)
    values = [point.value for point in points]
    for number, recipe in enumerate(dict.fromkeys(point.recipe for point in points)):
        own = sorted((point for point in points if point.recipe == recipe), key=lambda point: point.value)
        axis.errorbar(
            [point.value for point in own],
            [point.error.mean for point in own],
            yerr=[point.error.deviation for point in own],
            fmt="o-",
            color=CYCLE[number % len(CYCLE)],
            linewidth=1,
            capsize=3,
            label=recipe,
        )
    if min(values) > 0 and max(values) > 10 * min(values):
        axis.set_xscale("log")
    axis.set_xlabel(quantity)
    axis.set_ylabel(f"test {ERROR}")
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def draw_train_test(models: Sequence[tuple[str, Average, Average]]) -> Figure:
    """Errors on training and on test images of models, each a title and the two."""
    figure, (axis,) = charts(1, width=6.0, height=0.8 + 0.42 * len(models))
    for position, (_, train, test) in enumerate(models):
        for offset, error, colour, label in ((-0.18, train, CYCLE[0], "train"), (0.18, test, CYCLE[1], "test")):
            axis.barh(
                position + offset,
                error.mean,
                height=0.34,
                xerr=error.deviation or None,
                color=colour,
                capsize=2,
                label=label if position == 0 else None,
            )
    axis.set_yticks(range(len(models)), [title for title, _, _ in models])
    axis.invert_yaxis()
    axis.set_xlabel(ERROR)
    axis.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure
