"""Learning curves of models, with a band over their trials."""

import statistics
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import CYCLE, charts

LABELS = {"mse": "mean squared error", "kl": "KL divergence (nats per image)", "perplexity": "perplexity"}
STYLES = {"train": "--", "validation": "-"}

Rows = Sequence[Mapping[str, float]]


def draw(trials: Mapping[str, Sequence[Rows]]) -> Figure:
    """The rows of metrics.csv of the trials of each model: the mean over trials, and one standard deviation about it.
    Solid is validation, dashed training."""
    shown = [term for term in LABELS if any(_has(rows, term) for runs in trials.values() for rows in runs)]
    figure, axes = charts(len(shown))
    for axis, term in zip(axes, shown, strict=True):
        for number, (title, runs) in enumerate(trials.items()):
            for part, style in STYLES.items():
                _line(axis, runs, f"{part}_{term}", style, CYCLE[number % len(CYCLE)], title)
        axis.set_xlabel("epoch")
        axis.set_ylabel(LABELS[term])
        axis.set_yscale("log")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend(*_first_of_each(axes[0]), frameon=False, fontsize=8)
    return figure


def _line(axis: Axes, runs: Sequence[Rows], column: str, style: str, colour: str, title: str) -> None:
    by_epoch: dict[float, list[float]] = {}
    for rows in runs:
        for row in rows:
            if row.get(column, 0.0) > 0:
                by_epoch.setdefault(row["epoch"], []).append(row[column])
    if not by_epoch:
        return
    epochs = sorted(by_epoch)
    means = [statistics.fmean(by_epoch[epoch]) for epoch in epochs]
    axis.plot(epochs, means, style, color=colour, linewidth=1.4, label=title)
    if len(runs) > 1:
        spread = [statistics.stdev(by_epoch[epoch]) if len(by_epoch[epoch]) > 1 else 0.0 for epoch in epochs]
        low = [max(mean - by, 0.1 * mean) for mean, by in zip(means, spread, strict=True)]  # the scale has no zero
        high = [mean + by for mean, by in zip(means, spread, strict=True)]
        axis.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)


def _has(rows: Rows, term: str) -> bool:
    return any(row.get(f"{part}_{term}", 0.0) > 0 for row in rows for part in STYLES)


def _first_of_each(axis: Axes) -> tuple[list, list[str]]:
    """Legend entries without repetition; validation, which comes second and is drawn solid, stands for both."""
    entries = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    return list(entries.values()), list(entries)
