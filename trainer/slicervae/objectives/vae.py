"""The evidence lower bound of the VAE and β-VAE."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch

from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.networks import Network

from ..data.batch import Batch
from ..processes import averaged
from .base import Moment, Objective, Terms, squared_error
from .likelihood import LikelihoodSettings, judged_likelihood, negative_log_likelihood
from .passes import reason_against_network


@dataclasses.dataclass(frozen=True, kw_only=True)
class KLSettings:
    """``beta`` weights the KL divergence. It rises linearly from 0 over the first ``kl_warm_up_epochs``. No latent is
    pressed below ``free_bits`` nats, as a mean over the batch (Kingma et al. 2016), or over each accumulated part."""

    beta: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})
    kl_warm_up_epochs: float = dataclasses.field(default=0.0, metadata={"min": 0.0, "max": 1e6})
    free_bits: float = dataclasses.field(default=0.0, metadata={"min": 0.0, "max": 100.0})


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAESettings(LikelihoodSettings, KLSettings):
    """The settings of a VAE's objective."""

    kind: Literal["vae"] = "vae"


class VAEObjective(Objective):
    """−ELBO = −E_q[ln p(x|z)] + β·KL(q(z|x)‖N(0, σ_z² I)), averaged over the batch."""

    settings: VAESettings

    @classmethod
    def reason_against(cls, network: Network, settings: VAESettings) -> str:
        """It needs Gaussian latents on one level, and images alone."""
        return reason_against_network(network, settings.kind)

    def forward(self, batch: Batch, moment: Moment, phase: str = "all") -> Terms:  # noqa: ARG002 - only one
        """Terms of a batch, with one draw from each posterior."""
        posterior = self.network.encode(batch.images)
        assert isinstance(posterior, DiagonalGaussian)
        latents = posterior.draw(moment.draws.normal(tuple(posterior.mean.shape)))
        reconstruction, mse = negative_log_likelihood(batch, self.network.decode(latents), self.settings)
        loss = reconstruction + kl_weight(self.settings, moment) * penalised_kl(posterior, self.settings)
        return Terms(loss, {"reconstruction": reconstruction, "kl": posterior.kl().mean(), "mse": mse})

    def measure(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Squared error at the posterior mean, and KL, of each image."""
        encoding = self.network.encode(batch.images)
        return {"mse": squared_error(batch, self.network.decode(encoding.mode)), "kl": encoding.divergence()}

    def judge(self, means: Mapping[str, float]) -> float:
        """The negative evidence lower bound with β at its full weight."""
        pixels = torch.Size(self.network.image_shape).numel()
        return judged_likelihood(means["mse"], pixels, self.settings) + self.settings.beta * means["kl"]


def kl_weight(settings: KLSettings, moment: Moment) -> float:
    """β at this moment of its warm-up."""
    if settings.kl_warm_up_epochs == 0:
        return settings.beta
    return settings.beta * min(1.0, moment.epoch / settings.kl_warm_up_epochs)


def penalised_kl(posterior: DiagonalGaussian, settings: KLSettings) -> torch.Tensor:
    """The KL that the loss counts: the batch's mean, each latent at least ``free_bits`` nats.

    Which latents are above is told by the mean over all processes. Accumulated parts of a batch stay apart, each with
    its own mean: a part is done with before the next one is seen.
    """
    if settings.free_bits == 0:
        return posterior.kl().mean()
    own = posterior.kl_per_latent().mean(dim=0)
    # The own mean where above: its mean over processes is the clamped value, and has that value's gradient.
    return torch.where(averaged(own) > settings.free_bits, own, settings.free_bits).sum()
