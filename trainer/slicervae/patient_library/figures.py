"""The pictures of a comparison."""

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from SlicerVAELib.core.dvh import Curve

from ..evaluation.figures.style import CYCLE, charts
from ..pictures import INK, to_png
from .comparison import Comparison, RankedPatient
from .tables import compared_organs

MOST_CURVES = 6  # organs: more colours can't be told apart
_OWN, _OTHERS = 2.6, 0.9


def dvh_figure(comparison: Comparison) -> bytes | None:
    """The neighbours' histograms thin and the query's own thick, an organ a colour; None without doses.

    Where plans have other fractions than can be compared, their histograms are a chart of their own, in physical dose.
    """
    others = [each for each in comparison.patients if each.organs and not each.is_comparable]
    comparable = [each for each in comparison.patients if each.organs and each.is_comparable]
    organs = [name for name in compared_organs(comparison) if name != "External"][:MOST_CURVES]
    if not organs:
        return None
    colours = dict(zip(organs, CYCLE, strict=False))
    figure, axes = charts(2 if others else 1, width=7.5 if not others else 5.6, height=4.0)
    _draw(axes[0], comparable, colours)
    for name in organs:
        if name in comparison.own_organs:
            _curve(axes[0], comparison.own_organs[name].curve, colours[name], _OWN)
    axes[0].set_xlabel(f"dose ({comparison.measure.unit})")
    if others:
        _draw(axes[1], others, colours)
        axes[1].set_title("other fractions: physical dose, not to be compared", fontsize=9, color=INK)
        axes[1].set_xlabel("dose (Gy)")
    lines = [Line2D([], [], color=colour, linewidth=1.8, label=name) for name, colour in colours.items()]
    if comparison.own_organs:
        lines += [
            Line2D([], [], color=INK, linewidth=_OWN, label="this patient"),
            Line2D([], [], color=INK, linewidth=_OTHERS, label="similar patients"),
        ]
    axes[-1].legend(handles=lines, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    return to_png(figure)


def _draw(axis: Axes, patients: list[RankedPatient], colours: dict[str, str]) -> None:
    for each in patients:
        for name, colour in colours.items():
            if name in each.organs:
                _curve(axis, each.organs[name].curve, colour, _OTHERS)
    axis.set(ylabel="volume (%)", ylim=(0, 102), xlim=(0, None))


def _curve(axis: Axes, curve: Curve, colour: str, width: float) -> None:
    share = 100 * curve.volume_cm3 / curve.volume_cm3[0]
    axis.plot(curve.dose_gy, share, color=colour, linewidth=width, alpha=1.0 if width == _OWN else 0.65)
