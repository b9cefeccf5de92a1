"""Mixtures of Gaussians fitted to the posteriors of training slices.

No Gaussian stands for a single patient: each comes from at least ``SMALLEST_CLUSTER`` slices of ``FEWEST_PATIENTS``
patients, so that a bundle, which is handed on, holds nobody's posterior.
"""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin
from sklearn.mixture import GaussianMixture as Fit

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.latent import Latent
from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.core.synthesis_mixture import GaussianMixture
from SlicerVAELib.core.synthesis_parts import FEWEST_PATIENTS, MIXTURES, SMALLEST_CLUSTER

from .latents import EncodedSlices, Posteriors

CANDIDATES = (1, 2, 4, 8, 16, 32)
MOST_FULL = 64  # latents of which a full covariance is tried; more are fitted in their first principal components
DRAWS = 4  # of each posterior
SLICES_PER_CLUSTER = 10  # of the aggregated posterior, on average
FLOOR = 1e-3  # of a Gaussian's variance, as a share of the prior's: a latent that nothing varies


@dataclasses.dataclass(frozen=True)
class FittedMixture:
    """A mixture, and how likely it and the standard prior find draws from the validation patients' posteriors: mean
    log-likelihoods in nats per draw, in the plane of the fit."""

    mixture: GaussianMixture
    validation: float
    standard: float


def fit_mixture(
    training: EncodedSlices, validation: EncodedSlices, latent: Latent, seed: int, listener: Listener, cancel: Cancel
) -> FittedMixture:
    """The mixture, of those with 1 to 32 Gaussians, that explains the validation patients' posteriors best.

    Covariances are full or diagonal, whichever explains them better; of more than ``MOST_FULL`` latents they are full
    in the plane of the first principal components, with noise of its own in each latent beside it. Raises UserError for
    fewer than ``SMALLEST_CLUSTER`` slices of ``FEWEST_PATIENTS`` training patients, and Cancelled.
    """
    assert training.posteriors is not None
    assert validation.posteriors is not None
    if not _is_anonymous(training.owners.numpy(), 1):
        raise UserError(
            f"{len(training)} image(s) of {len(training.owners.unique())} patient(s) are too few for a mixture that "
            f"tells of nobody; give at least {SMALLEST_CLUSTER} of {FEWEST_PATIENTS} patients beside those kept aside."
        )
    generator = torch.Generator().manual_seed(seed)
    plane = _Plane.of(training.posteriors)
    here, there = (
        plane.project(posteriors.draws(DRAWS, generator)) for posteriors in (training.posteriors, validation.posteriors)
    )
    owners = training.owners.repeat(DRAWS).numpy()
    candidates = [(kind, count) for kind in ("full", "diag") for count in CANDIDATES]
    meter = Meter(listener, "fitting mixtures", len(candidates))
    best: tuple[float, Fit] | None = None
    for kind, count in candidates:
        cancel.check()
        meter.advance(1)
        if count > 1 and count * SMALLEST_CLUSTER * DRAWS > len(here):
            continue
        fit = Fit(count, covariance_type=kind, reg_covar=FLOOR * latent.prior_variance, random_state=seed)
        with _unconverged():
            members = fit.fit_predict(here)
        if count > 1 and not all(_is_anonymous(owners[group], DRAWS) for group in _groups(members, count)):
            continue
        score = float(fit.score(there))
        if best is None or score > best[0]:
            best = (score, fit)
    assert best is not None
    score, fit = best
    factors = np.stack([_factor(covariance) for covariance in fit.covariances_])
    standard = _log_likelihood_of_standard(there, plane, latent.prior_variance)
    return FittedMixture(plane.mixture(fit.weights_, fit.means_, factors, latent), score, standard)


def aggregated_posterior(training: EncodedSlices, latent: Latent, seed: int) -> GaussianMixture:
    """p̃(z) = (1/K) Σ_k N(μ_k, σ_k²) of the K training slices (source 002, algorithm 2), with neighbours merged.

    The posteriors are clustered by their means (k-means), and each cluster is replaced by the diagonal Gaussian of the
    same weight, mean and variances: mean(μ_k), and mean(σ_k²) + var(μ_k).
    """
    assert training.posteriors is not None
    posteriors, owners = training.posteriors, training.owners.numpy()
    means = posteriors.means.numpy()
    groups = _anonymous_groups(means, owners, max(1, len(means) // SLICES_PER_CLUSTER), seed)
    weights = torch.tensor([len(group) / len(means) for group in groups], dtype=torch.float32)
    centres = torch.stack([posteriors.means[group].mean(dim=0) for group in groups])
    variances = torch.stack(
        [posteriors.variances[group].mean(dim=0) + posteriors.means[group].var(dim=0, correction=0) for group in groups]
    )
    none = torch.zeros(*centres.shape, 0)
    return GaussianMixture(MIXTURES["aggregated-posterior"], latent.shape, weights, centres, none, variances.sqrt())


def _anonymous_groups(means: np.ndarray, owners: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Indices of the members of k-means clusters; those of clusters too small go to the nearest that is not."""
    with _unconverged():
        clusters = KMeans(count, n_init=1, random_state=seed).fit(means)
    kept = [k for k in range(count) if _is_anonymous(owners[clusters.labels_ == k], 1)]
    if not kept:
        return [np.arange(len(means))]
    return list(_groups(pairwise_distances_argmin(means, clusters.cluster_centers_[kept]), len(kept)))


@contextlib.contextmanager
def _unconverged() -> Iterator[None]:
    """Without scikit-learn's warning: fits are judged by the validation patients, and equal slices may be few."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _groups(members: np.ndarray, count: int) -> Iterator[np.ndarray]:
    return (np.flatnonzero(members == k) for k in range(count))


def _is_anonymous(owners: np.ndarray, repeated: int) -> bool:
    """Whether slices, each counted ``repeated`` times, are enough and of enough patients to stand for nobody."""
    return len(owners) >= SMALLEST_CLUSTER * repeated and len(np.unique(owners)) >= FEWEST_PATIENTS


def _log_likelihood_of_standard(draws: np.ndarray, plane: "_Plane", variance: float) -> float:
    """Mean ln N(z; 0, σ_z² I) in nats of draws (M, R) seen from the plane's centre."""
    from_origin = draws + plane.centre @ plane.axes
    squares = (from_origin**2).sum(axis=1).mean() / variance
    return float(-0.5 * (squares + draws.shape[1] * np.log(2 * np.pi * variance)))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """Cholesky factor of a covariance (R, R), or of a diagonal one (R,)."""
    return np.linalg.cholesky(covariance) if covariance.ndim == 2 else np.diag(np.sqrt(covariance))


@dataclasses.dataclass(frozen=True, eq=False)
class _Plane:
    """``centre`` (J,), orthonormal ``axes`` (J, R) and the standard ``deviations`` (J,) of what lies beside."""

    centre: np.ndarray
    axes: np.ndarray
    deviations: np.ndarray

    @classmethod
    def of(cls, posteriors: Posteriors) -> "_Plane":
        means = posteriors.means.double().numpy()
        dimension = means.shape[1]
        if dimension <= MOST_FULL:
            return cls(np.zeros(dimension), np.eye(dimension), np.zeros(dimension))
        centre = means.mean(axis=0)
        rank = max(1, min(MOST_FULL, len(means) // SLICES_PER_CLUSTER))
        _, _, rows = np.linalg.svd(means - centre, full_matrices=False)
        axes = rows[:rank].T
        beside = means - centre - (means - centre) @ axes @ axes.T
        spread = posteriors.variances.double().numpy().mean(axis=0)
        # The plane holds the part of the posteriors' own variance that lies in it.
        own = spread * (1 - (axes**2).sum(axis=1)).clip(0)
        return cls(centre, axes, np.sqrt(beside.var(axis=0) + own))

    def project(self, latents: torch.Tensor) -> np.ndarray:
        return (latents.double().numpy() - self.centre) @ self.axes

    def mixture(self, weights: np.ndarray, means: np.ndarray, factors: np.ndarray, latent: Latent) -> GaussianMixture:
        """A mixture in the plane as one over the latents."""
        whole = (
            weights,
            self.centre + means @ self.axes.T,
            self.axes @ factors,
            np.broadcast_to(self.deviations, (len(weights), len(self.deviations))),
        )
        arrays = (torch.from_numpy(np.ascontiguousarray(array)).float() for array in whole)
        return GaussianMixture(MIXTURES["mixture"], latent.shape, *arrays)
