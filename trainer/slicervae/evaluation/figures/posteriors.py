"""The aggregated posterior p̃(z) = (1/K) Σ N(μ_k, σ_k²) against the prior, and how much each latent tells."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from SlicerVAELib.core.encoding import DiagonalGaussian

from ...pictures import GRID, INK
from .style import CYCLE, charts, styled

POINTS = 160
BARS = 100
GREY = "#a0aec0"


def draw_aggregated(posterior: DiagonalGaussian, first: int, second: int) -> Figure:
    """The density of two latents of posteriors (K, J), and that of each alone, with the prior's."""
    deviation = math.sqrt(posterior.prior_variance)
    points = _axis(posterior, (first, second), deviation)
    along = [_densities(posterior, latent, points) for latent in (first, second)]
    joint = along[1].T @ along[0] / len(along[0])
    with styled():
        figure = plt.figure(figsize=(5.2, 5.2))
        parts = figure.add_gridspec(2, 2, width_ratios=(3, 1), height_ratios=(1, 3), wspace=0.06, hspace=0.06)
        main = figure.add_subplot(parts[1, 0])
        above, beside = figure.add_subplot(parts[0, 0], sharex=main), figure.add_subplot(parts[1, 1], sharey=main)
    main.contourf(points, points, joint, levels=_levels(joint), cmap="Blues", extend="max")
    means = posterior.mean[:, [first, second]]
    main.plot(*means.T, ".", color=INK, markersize=2, alpha=0.5)
    for radius in (1, 2):
        circle = plt.Circle((0, 0), radius * deviation, fill=False, color=CYCLE[1], linestyle="--", linewidth=1)
        main.add_patch(circle)
    main.set_xlabel(f"z{first + 1}")
    main.set_ylabel(f"z{second + 1}")
    prior = torch.distributions.Normal(0.0, deviation)
    above.plot(points, along[0].mean(dim=0), color=CYCLE[0], label="aggregated posterior")
    above.plot(points, prior.log_prob(points).exp(), "--", color=CYCLE[1], label="prior")
    beside.plot(along[1].mean(dim=0), points, color=CYCLE[0])
    beside.plot(prior.log_prob(points).exp(), points, "--", color=CYCLE[1])
    above.tick_params(labelbottom=False)
    beside.tick_params(labelleft=False)
    beside.xaxis.set_major_locator(MaxNLocator(2, prune="lower"))  # its zero would run into the other's last number
    above.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8)
    for axis in (main, above, beside):
        axis.grid(color=GRID, linewidth=0.7)
        axis.set_axisbelow(True)
    return figure


def draw_kl(kl: torch.Tensor, is_active: torch.Tensor) -> Figure:
    """KL divergence of each latent (J,), the largest first, those that are not active in grey."""
    values, order = kl.sort(descending=True)
    heights = values[:BARS].tolist()
    colours = [CYCLE[0] if active else GREY for active in is_active[order[:BARS]].tolist()]
    figure, (axis,) = charts(1, width=6.5, height=2.6)
    axis.bar(range(1, len(heights) + 1), heights, color=colours, width=0.9)
    axis.set_xlabel("latents, by KL divergence" + (f" (the first {BARS} of {len(kl):,})" if len(kl) > BARS else ""))
    axis.set_ylabel("KL divergence (nats)")
    return figure


def _axis(posterior: DiagonalGaussian, latents: Sequence[int], deviation: float) -> torch.Tensor:
    reach = max(3 * deviation, float(posterior.mean[:, latents].abs().max()) + deviation / 2)
    return torch.linspace(-reach, reach, POINTS)


def _densities(posterior: DiagonalGaussian, latent: int, points: torch.Tensor) -> torch.Tensor:
    """Densities (K, points) of one latent's posteriors; no narrower than a point, lest they fall between two."""
    narrowest = float(points[1] - points[0])
    deviation = (posterior.log_variance[:, latent] / 2).exp().clamp(min=narrowest)
    return torch.distributions.Normal(posterior.mean[:, latent, None], deviation[:, None]).log_prob(points).exp()


def _levels(density: torch.Tensor) -> list[float]:
    top = float(density.max())
    return [top * share for share in (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)]
