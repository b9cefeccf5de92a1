"""How like two images are, by what the encoder says of them.

Distances are taken in double precision between all pairs of two encodings of the same network: row n, column m is that
of query n from stored image m. None is negative; smaller is more alike.
"""

import dataclasses
from collections.abc import Callable

import torch

from .encoding import CodeLevels, Codes, DiagonalGaussian, Encoding, HierarchicalGaussian, Point
from .errors import UserError, nearest
from .latent import Latent
from .similarity import Direction, Posteriors, divergences


@dataclasses.dataclass(frozen=True)
class Measure:
    """A distance: its unit, and the function from queries (N images) and stored ones (M) to float64 (N, M)."""

    unit: str
    between: Callable[[Encoding, Encoding], torch.Tensor]


def measure_named(name: str, latent: Latent) -> Measure:
    """The measure ``name`` for networks with such latents, of which ``latent.similarity`` lists the names.

    Raises UserError, with those that fit, for one that needs other latents, and for an unknown name.
    """
    if name not in MEASURES:
        raise UserError(f"There is no measure of similarity '{name}'; {nearest(name, MEASURES)}")
    if name not in latent.similarity:
        fitting = " or ".join(f"'{other}'" for other in latent.similarity)
        raise UserError(f"'{name}' can't be measured between {_KINDS[latent.kind]}; choose {fitting}.")
    return MEASURES[name]


_KINDS = {
    "gaussian": "Gaussian posteriors",
    "codes": "codes, which have no posterior",
    "point": "points of a plain autoencoder, which have no posterior",
}


def _divergence(direction: Direction) -> Callable[[Encoding, Encoding], torch.Tensor]:
    """A divergence between Gaussian posteriors, of which ``core.similarity`` has the formulas."""

    def between(queries: Encoding, stored: Encoding) -> torch.Tensor:
        return torch.from_numpy(divergences(_posteriors(queries), _posteriors(stored), direction))

    return between


def _code_histogram(queries: Encoding, stored: Encoding) -> torch.Tensor:
    """Jensen–Shannon divergence, in bits, between how often either image uses each code, wherever it uses it.

    0 for the same shares, 1 when no code is shared; the mean over the levels where there are several.
    """
    levels = [
        _jensen_shannon(*_histograms(here.indices, there.indices))
        for here, there in zip(_levels(queries), _levels(stored), strict=True)
    ]
    return torch.stack(levels).mean(dim=0)


def _pre_quantisation(queries: Encoding, stored: Encoding) -> torch.Tensor:
    """Root mean square difference of the encoder's vectors before they are quantised, place by place."""
    here, there = (
        torch.cat([level.continuous.double().flatten(1) for level in _levels(encoding)], dim=1)
        for encoding in (queries, stored)
    )
    return _euclidean_distances(here, there) / here.shape[1] ** 0.5


def _euclidean(queries: Encoding, stored: Encoding) -> torch.Tensor:
    """‖z₁ − z₂‖ of a plain autoencoder's latents."""
    assert isinstance(queries, Point)
    assert isinstance(stored, Point)
    return _euclidean_distances(queries.value.double().flatten(1), stored.value.double().flatten(1))


MEASURES: dict[str, Measure] = {
    "kl": Measure("nats", _divergence("kl")),
    "reverse-kl": Measure("nats", _divergence("reverse-kl")),
    "symmetric-kl": Measure("nats", _divergence("symmetric-kl")),
    "code-histogram": Measure("bits", _code_histogram),
    "pre-quantisation": Measure("units of the encoder's vectors", _pre_quantisation),
    "euclidean": Measure("units of the latents", _euclidean),
}


def posterior_of(encoding: Encoding) -> DiagonalGaussian:
    """The posterior that stands for an image: of a hierarchy that of z₁, which describes the whole."""
    posterior = encoding.first if isinstance(encoding, HierarchicalGaussian) else encoding
    assert isinstance(posterior, DiagonalGaussian)
    return posterior


def _posteriors(encoding: Encoding) -> Posteriors:
    posterior = posterior_of(encoding)
    mean, log_variance = (
        moment.detach().float().flatten(1).cpu().numpy() for moment in (posterior.mean, posterior.log_variance)
    )
    return Posteriors(mean, log_variance)


def _levels(encoding: Encoding) -> tuple[Codes, ...]:
    if isinstance(encoding, CodeLevels):
        return encoding.levels
    assert isinstance(encoding, Codes)
    return (encoding,)


def _histograms(queries: torch.Tensor, stored: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares of the codes in each image, (N, K) and (M, K), K being one more than the highest code used."""
    highest = int(max(queries.max(), stored.max()))
    here, there = (
        torch.nn.functional.one_hot(indices.flatten(1), highest + 1).double().mean(dim=1)
        for indices in (queries, stored)
    )
    return here, there


def _jensen_shannon(here: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """H((p + q)/2) − (H(p) + H(q))/2 in bits, (N, M)."""
    rows = [_entropy((own + there) / 2) - (_entropy(own[None]) + _entropy(there)) / 2 for own in here]
    return torch.stack(rows).clamp_min(0)


def _entropy(shares: torch.Tensor) -> torch.Tensor:
    return torch.special.entr(shares).sum(dim=1) / torch.log(shares.new_tensor(2.0))


def _euclidean_distances(here: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    # Not by the faster matrix product, in which the distances of near duplicates cancel.
    return torch.cdist(here, there, compute_mode="donot_use_mm_for_euclid_dist")
