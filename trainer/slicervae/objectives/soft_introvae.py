"""Soft-IntroVAE (Daniel and Tamar 2021), the stable successor of source 000's IntroVAE."""

import dataclasses
from typing import Literal

import torch

from SlicerVAELib.core.encoding import DiagonalGaussian

from .base import Moment, Terms
from .introspection import Introspection, IntrospectionSettings, Pass
from .passes import frozen


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftIntroVAESettings(IntrospectionSettings):
    """The weights of the game, after the division by the C·H·W values of an image.

    Squared errors are means over values, and KL divergences means over the J latents, so that the weights mean the same
    for every size: ``beta_kl`` and ``beta_neg`` are the original's times J/(C·H·W), which for its 256² faces with
    J = 512 are 1/384 and 1024/384. ``alpha`` weighs the exponentials as it weighed IntroVAE's hinges.
    """

    kind: Literal["soft_introvae"] = "soft_introvae"
    beta_rec: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})
    beta_kl: float = dataclasses.field(default=1 / 384, metadata={"min": 0.0, "max": 1e6})
    beta_neg: float = dataclasses.field(default=1024 / 384, metadata={"min": 0.0, "max": 1e6})
    alpha: float = dataclasses.field(default=0.5, metadata={"min": 0.0, "max": 1e4})


class SoftIntroVAEObjective(Introspection):
    """L_E = β_rec L_rec + β_kl KL(x) + α Σ_s ½ exp(2 ELBO(ng x_s)) and L_G = β_rec L_rec + α β_kl Σ_s KL(x_s).

    ELBO(x_s) = −(β_rec ‖x_s − Dec(z_s)‖² + β_neg KL(x_s)) with z_s drawn from q(z|x_s), all divided by the C·H·W values
    of an image; see the settings for how. The exponent is never positive, so that it can't overflow; once an image is
    told apart it vanishes, and with it its gradient, which is what replaces the margin.
    """

    settings: SoftIntroVAESettings

    def encoder_terms(self, seen: Pass, moment: Moment) -> Terms:
        """L_E."""
        kl = seen.posterior.kl().mean()
        parts = {"mse": seen.mse, "kl": kl}
        loss = self.settings.beta_rec * seen.mse + self._per_latent(self.settings.beta_kl * kl)
        for name, images in seen.generated.items():
            posterior = self.encoded(images, {})
            exponential = torch.exp(2 * self._elbo(images, posterior, moment))
            loss = loss + self.settings.alpha * 0.5 * exponential.mean()
            parts |= {f"kl_{name}": posterior.kl().mean(), f"exponential_{name}": exponential.mean()}
        return Terms(loss, parts)

    def generator_terms(self, seen: Pass, moment: Moment) -> Terms:  # noqa: ARG002
        """L_G."""
        parts = {"mse": seen.mse}
        loss = self.settings.beta_rec * seen.mse
        for name, images in seen.generated.items():
            kl = self.encoded(images, frozen(self.network, "encoder")).kl().mean()
            loss = loss + self._per_latent(self.settings.alpha * self.settings.beta_kl * kl)
            parts[f"kl_{name}"] = kl
        return Terms(loss, parts)

    def real_loss(self, mse: float, kl: float) -> float:
        """β_rec L_rec + β_kl KL(x)."""
        return self.settings.beta_rec * mse + self.settings.beta_kl * kl / self.network.latent.size

    def _elbo(self, images: torch.Tensor, posterior: DiagonalGaussian, moment: Moment) -> torch.Tensor:
        """The ELBO of generated images, (N,)."""
        latents = posterior.draw(moment.draws.normal(tuple(posterior.mean.shape)))
        decoded = self.decoded(latents, frozen(self.network, "decoder"))
        error = (images - decoded).square().flatten(1).mean(dim=1)
        return -(self.settings.beta_rec * error + self._per_latent(self.settings.beta_neg * posterior.kl()))

    def _per_latent(self, value: torch.Tensor) -> torch.Tensor:
        return value / self.network.latent.size
