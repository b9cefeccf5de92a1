"""The plain autoencoder: the reconstruction error alone (source 000, §2.3.1)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch

from SlicerVAELib.core.networks import Network

from ..data.batch import Batch
from .base import Moment, Objective, Terms, squared_error
from .likelihood import LikelihoodSettings, judged_likelihood, negative_log_likelihood


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderSettings(LikelihoodSettings):
    """The settings of a plain autoencoder's objective.

    With the optimal variance the loss is ½P ln(MSE) and a constant, whose minimum is that of the squared error and
    whose gradient keeps its size as the error falls.
    """

    kind: Literal["autoencoder"] = "autoencoder"


class AutoencoderObjective(Objective):
    """−ln p(x|z) at the encoder's point z, averaged over the batch."""

    settings: AutoencoderSettings

    @classmethod
    def reason_against(cls, network: Network, settings: AutoencoderSettings) -> str:  # noqa: ARG003
        """It needs a point for a latent: a posterior's variance or a codebook would never be trained."""
        return "" if network.latent.kind == "point" else "an autoencoder's objective needs a plain autoencoder"

    def forward(self, batch: Batch, moment: Moment, phase: str = "all") -> Terms:  # noqa: ARG002 - nothing is random
        """Terms of a batch."""
        reconstruction, mse = negative_log_likelihood(batch, self.network.reconstruct(batch.images), self.settings)
        return Terms(reconstruction, {"reconstruction": reconstruction, "mse": mse})

    def measure(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Squared error of each image."""
        return {"mse": squared_error(batch, self.network.reconstruct(batch.images))}

    def judge(self, means: Mapping[str, float]) -> float:
        """The negative log-likelihood."""
        return judged_likelihood(means["mse"], torch.Size(self.network.image_shape).numel(), self.settings)
