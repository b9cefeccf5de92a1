"""The objective of the conditional hierarchical VAE (``chvae`` of source 003)."""

import dataclasses
from typing import Literal

import torch

from SlicerVAELib.core.encoding import DiagonalGaussian, HierarchicalGaussian
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.networks.hierarchical import ConditionalHierarchy, PrimaryComponentsHierarchy

from ..data.batch import Batch
from .base import Moment, Terms
from .likelihood import LikelihoodSettings, negative_log_likelihood
from .vae import KLSettings, VAEObjective, kl_weight, penalised_kl


@dataclasses.dataclass(frozen=True, kw_only=True)
class HierarchicalSettings(LikelihoodSettings, KLSettings):
    """The settings of a hierarchy's objective; ``beta`` weights both divergences."""

    kind: Literal["chvae"] = "chvae"


@dataclasses.dataclass(frozen=True, eq=False)
class HierarchyDraw:
    """One draw of z₁ (N, J₁) and of z₂ (N, J₂) given it, with the posteriors they were drawn from."""

    first: torch.Tensor
    second: torch.Tensor
    of_first: DiagonalGaussian
    of_second: DiagonalGaussian


class HierarchicalObjective(VAEObjective):
    """−ELBO = λ₂‖x − g₂(z₁, z₂)‖² + β (KL₁ + KL₂), λ₂‖·‖² being a Gaussian's negative log-likelihood: λ₂ = 1 / 2σ².

    KL₂ is that of q(z₂|x, z₁) at the drawn z₁.
    """

    @classmethod
    def reason_against(cls, network: Network, settings: HierarchicalSettings) -> str:  # type: ignore[override]  # noqa: ARG003
        """It needs a hierarchy without an image of its own at the high level."""
        if isinstance(network, ConditionalHierarchy) and not isinstance(network, PrimaryComponentsHierarchy):
            return ""
        return "the objective 'chvae' needs a network of the family chvae"

    def forward(self, batch: Batch, moment: Moment, phase: str = "all") -> Terms:  # noqa: ARG002 - only one
        """Terms of a batch, with one draw from each posterior."""
        drawn = draw_hierarchy(self.network, batch, moment)
        images = self.network.decode(torch.cat([drawn.first, drawn.second], dim=1))
        reconstruction, mse = negative_log_likelihood(batch, images, self.settings)
        penalty = penalised_kl(drawn.of_first, self.settings) + penalised_kl(drawn.of_second, self.settings)
        loss = reconstruction + kl_weight(self.settings, moment) * penalty
        return Terms(loss, {"reconstruction": reconstruction, "mse": mse, **kl_parts(drawn)})


def draw_hierarchy(network: Network, batch: Batch, moment: Moment) -> HierarchyDraw:
    """Draw z₁, and z₂ given it, for each image of a batch."""
    posterior = network.encode(batch.images)
    assert isinstance(posterior, HierarchicalGaussian)
    noise = moment.draws.normal((len(batch), network.latent.size))
    split = posterior.first.mean.shape[1]
    first = posterior.first.draw(noise[:, :split])
    of_second = posterior.second_given(first)
    return HierarchyDraw(first, of_second.draw(noise[:, split:]), posterior.first, of_second)


def kl_parts(drawn: HierarchyDraw) -> dict[str, torch.Tensor]:
    """The divergences of a draw's posteriors for the log."""
    high, low = drawn.of_first.kl().mean(), drawn.of_second.kl().mean()
    return {"kl": high + low, "kl_high": high, "kl_low": low}
