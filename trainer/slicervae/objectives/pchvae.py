"""The objective of the primary components conditional hierarchical VAE (``pchvae`` of source 003)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch

from SlicerVAELib.core.encoding import HierarchicalGaussian
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.networks.hierarchical import PrimaryComponentsHierarchy

from ..data.batch import Batch
from .base import Moment, Objective, Terms, pixels_counted, squared_error
from .hierarchical import draw_hierarchy, kl_parts
from .likelihood import (
    SMALLEST_VARIANCE,
    LikelihoodSettings,
    judged_likelihood,
    negative_log_likelihood,
    noise_variance,
)
from .vae import KLSettings, kl_weight, penalised_kl


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrimaryComponentsSettings(LikelihoodSettings, KLSettings):
    """The λ₁ … λ₅ of equation 9 of source 003, which chose λ₂ = λ₃; ``beta`` weights both divergences besides."""

    kind: Literal["pchvae"] = "pchvae"
    lambda_1: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})
    lambda_2: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})
    lambda_3: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})
    lambda_4: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})
    lambda_5: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})


class PrimaryComponentsObjective(Objective):
    """L = λ₁‖x − g₁‖² + λ₂‖x − (g₁ + g₂)‖² + λ₃‖g₁(f₁(g₂))‖² + β (λ₄ KL₁ + λ₅ KL₂).

    Decided, since the source only chooses its constant c "appropriately": the first two squares are negative
    log-likelihoods of the image, each with its own σ², so that either level balances its divergence whatever the other
    does. The third has the second's σ²: both come from one square by the triangle inequality (equation 6). It is no
    likelihood of data, so it has no log σ² and no σ² of its own; that would reward an ever fainter image without bound.
    """

    network: PrimaryComponentsHierarchy
    settings: PrimaryComponentsSettings

    @classmethod
    def reason_against(cls, network: Network, settings: PrimaryComponentsSettings) -> str:  # noqa: ARG003
        """It needs a hierarchy with an image at either level."""
        if isinstance(network, PrimaryComponentsHierarchy):
            return ""
        return "the objective 'pchvae' needs a network of the family pchvae"

    def forward(self, batch: Batch, moment: Moment, phase: str = "all") -> Terms:  # noqa: ARG002 - only one
        """Terms of a batch, with one draw from each posterior."""
        drawn = draw_hierarchy(self.network, batch, moment)
        high = self.network.high_level(drawn.first)
        low = self.network.low_level(drawn.first, drawn.second)
        seen = self.network.encode_high(low)
        zero = self.network.high_level(seen.draw(moment.draws.normal(tuple(seen.mean.shape))))

        high_level, mse_high = negative_log_likelihood(batch, high, self.settings)
        reconstruction, mse = negative_log_likelihood(batch, high + low, self.settings)
        counted = pixels_counted(batch)
        variance = noise_variance(squared_error(batch, high + low) * counted, counted, self.settings)
        leaked = (_squares(batch, zero) * counted).mean() / (2 * variance)
        s = self.settings
        divergence = s.lambda_4 * penalised_kl(drawn.of_first, s) + s.lambda_5 * penalised_kl(drawn.of_second, s)
        loss = (
            s.lambda_1 * high_level
            + s.lambda_2 * reconstruction
            + s.lambda_3 * leaked
            + kl_weight(s, moment) * divergence
        )
        parts = {"reconstruction": reconstruction, "high_level": high_level, "zero": leaked, "mse": mse}
        return Terms(loss, {**parts, "mse_high": mse_high, **kl_parts(drawn)})

    def measure(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Squared errors of the image and of its high level, mean square of the zero part, all at the posterior means,
        and both divergences, of each image."""
        encoding = self.network.encode(batch.images)
        assert isinstance(encoding, HierarchicalGaussian)
        parts = self.network.components(encoding.mode)
        return {
            "mse": squared_error(batch, parts.high + parts.low),
            "mse_high": squared_error(batch, parts.high),
            "mse_zero": _squares(batch, parts.zero),
            "kl_high": encoding.first.kl(),
            "kl_low": encoding.second_given(encoding.first.mean).kl(),
        }

    def judge(self, means: Mapping[str, float]) -> float:
        """The loss with β at its full weight."""
        s, pixels = self.settings, torch.Size(self.network.image_shape).numel()
        variance = max(means["mse"], SMALLEST_VARIANCE) if s.noise == "optimal" else s.noise_variance
        return (
            s.lambda_1 * judged_likelihood(means["mse_high"], pixels, s)
            + s.lambda_2 * judged_likelihood(means["mse"], pixels, s)
            + s.lambda_3 * pixels * means["mse_zero"] / (2 * variance)
            + s.beta * (s.lambda_4 * means["kl_high"] + s.lambda_5 * means["kl_low"])
        )


def _squares(batch: Batch, images: torch.Tensor) -> torch.Tensor:
    """Mean square of each image over the pixels that count, (N,)."""
    return squared_error(Batch(torch.zeros_like(batch.images), batch.kept), images)
