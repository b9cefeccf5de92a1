"""The objective of the context-encoding VAE (Zimmerer et al. 2018)."""

import dataclasses
from typing import Literal

import torch

from SlicerVAELib.core.networks import Network

from ..data.batch import Batch
from ..draws import Draws
from .base import Moment, Terms
from .likelihood import LikelihoodSettings, negative_log_likelihood
from .vae import KLSettings, VAEObjective


@dataclasses.dataclass(frozen=True, kw_only=True)
class CEVAESettings(LikelihoodSettings, KLSettings):
    """``context_weight`` weights the loss on the masked copy, which has ``patches`` masked squares with sides of
    ``smallest_patch`` to ``largest_patch`` of the image's."""

    kind: Literal["cevae"] = "cevae"
    context_weight: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})
    patches: int = dataclasses.field(default=3, metadata={"min": 1, "max": 100})
    smallest_patch: float = dataclasses.field(default=0.1, metadata={"min": 0.01, "max": 1.0})
    largest_patch: float = dataclasses.field(default=0.3, metadata={"min": 0.01, "max": 1.0})

    def __post_init__(self) -> None:
        if self.smallest_patch > self.largest_patch:
            raise ValueError("smallest_patch is above largest_patch")


class CEVAEObjective(VAEObjective):
    """−ELBO(x) + w·(−ln p(x | f_μ(x̃))), averaged over the batch.

    x̃ is x with masked patches. The whole of x has to come back from the mean of its posterior, whose divergence does
    not count: the context-encoding half is a plain autoencoder. With ``noise`` "optimal" each half has its own σ², as
    filling in is the harder task. The validation loss is that of the VAE: nothing is masked at inference.
    """

    settings: CEVAESettings  # type: ignore[assignment]

    @classmethod
    def reason_against(cls, network: Network, settings: CEVAESettings) -> str:  # type: ignore[override]
        """It needs Gaussian latents, and images alone: a patch of grey is no probability of a structure."""
        if network.structure_channels:
            return "the objective 'cevae' masks images and needs a network without structures"
        return super().reason_against(network, settings)  # type: ignore[arg-type]

    def forward(self, batch: Batch, moment: Moment, phase: str = "all") -> Terms:
        """Terms of a batch, with one draw from each posterior and one masked copy of each image."""
        terms = super().forward(batch, moment, phase)
        completed = self.network.reconstruct(masked(batch.images, self.settings, moment.draws))
        context, mse = negative_log_likelihood(batch, completed, self.settings)
        return Terms(
            terms.loss + self.settings.context_weight * context,
            {**terms.parts, "context": context, "mse_context": mse},
        )


def masked(images: torch.Tensor, settings: CEVAESettings, draws: Draws) -> torch.Tensor:
    """A copy of the images (N, C, *sides) with patches masked in all channels.

    Centres and sides are uniform, and so is the grey value in [0, 1] that fills a patch. Decided: with a value of its
    own, black would mark every hole and pass for the black around a head.
    """
    n, dimensions = len(images), images.dim() - 2
    numbers = draws.uniform((n, settings.patches, dimensions + 2)).to(images)
    result = images
    for patch in numbers.unbind(dim=1):
        share = settings.smallest_patch + (settings.largest_patch - settings.smallest_patch) * patch[:, 0]
        inside = images.new_ones((n, 1, *(1,) * dimensions), dtype=torch.bool)
        for axis in range(2, images.dim()):
            side = images.shape[axis]
            offsets = torch.arange(side, device=images.device) - side * patch[:, axis, None]
            within = offsets.abs() <= side * share[:, None] / 2
            inside = inside & within.reshape(n, *(side if other == axis else 1 for other in range(1, images.dim())))
        result = torch.where(inside, patch[:, 1].reshape(n, *(1,) * (dimensions + 1)), result)
    return result
