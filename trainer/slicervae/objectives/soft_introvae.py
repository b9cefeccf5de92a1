"""Soft-IntroVAE (Daniel and Tamar 2021), the stable successor of source 000's IntroVAE."""

import dataclasses
from typing import Literal

import torch

from SlicerVAELib.core.encoding import DiagonalGaussian

from .base import Moment, Terms
from .introspection import Introspection, IntrospectionSettings, Pass
from .likelihood import LikelihoodSettings, judged_likelihood, noise_variance
from .passes import frozen


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftIntroVAESettings(IntrospectionSettings, LikelihoodSettings):
    """The weights of the game.

    With ``beta_rec`` and ``beta_kl`` of 1 the warm-up is the training of a plain VAE with the same noise variance. The
    original, whose squared error has a factor of 1, has ``noise`` "fixed" with a variance of 0.5. ``beta_neg`` weighs
    the mean KL divergence over the J latents, so that it means the same for every size: the original's 1024, times
    J = 512 over the C·H·W = 196,608 values of its faces, is 2.7, and its 256 with J = 128 and 3,072 values 10.7. The
    larger it is, the fewer nats generated images need to be let alone, and the nearer posteriors stay to the prior.
    ``alpha`` weighs the exponentials as it weighed IntroVAE's hinges.
    """

    kind: Literal["soft_introvae"] = "soft_introvae"
    beta_rec: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})
    beta_kl: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})
    beta_neg: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})
    alpha: float = dataclasses.field(default=0.5, metadata={"min": 0.0, "max": 1e4})


class SoftIntroVAEObjective(Introspection):
    """L_E = β_rec L_rec + β_kl KL(x) / D + α Σ_s ½ exp(2 ELBO(ng x_s)) and L_G = β_rec L_rec + α β_kl Σ_s KL(x_s) / D.

    D = C·H·W. L_rec is the squared error of a value over 2σ², and ELBO(x_s) = −(β_rec L_rec(x_s, Dec(z_s)) + β_neg
    KL(x_s) / J) with z_s drawn from q(z|x_s). The optimal σ² is the mean squared error of the batch's own images, for
    the generated ones as well, and has no gradient: so the game begins where the warm-up has arrived, in its units,
    and the exponentials do not drown what has been learned. The exponent is never positive, so that it can't overflow;
    once an image is told apart it vanishes, and with it its gradient, which is what replaces the margin.
    """

    settings: SoftIntroVAESettings

    def encoder_terms(self, seen: Pass, moment: Moment) -> Terms:
        """L_E."""
        kl, variance = seen.posterior.kl().mean(), self._variance(seen)
        parts = {"mse": seen.mse, "kl": kl}
        loss = self._reconstruction(seen.mse, variance) + self.settings.beta_kl * kl / self._values
        for name, images in seen.generated.items():
            posterior = self.encoded(images, {})
            exponential = torch.exp(2 * self._elbo(images, posterior, variance, moment))
            loss = loss + self.settings.alpha * 0.5 * exponential.mean()
            parts |= {f"kl_{name}": posterior.kl().mean(), f"exponential_{name}": exponential.mean()}
        return Terms(loss, parts)

    def generator_terms(self, seen: Pass, moment: Moment) -> Terms:  # noqa: ARG002
        """L_G."""
        parts = {"mse": seen.mse}
        loss = self._reconstruction(seen.mse, self._variance(seen))
        for name, images in seen.generated.items():
            kl = self.encoded(images, frozen(self.network, "encoder")).kl().mean()
            loss = loss + self.settings.alpha * self.settings.beta_kl * kl / self._values
            parts[f"kl_{name}"] = kl
        return Terms(loss, parts)

    def real_loss(self, mse: float, kl: float) -> float:
        """The negative ELBO, over D."""
        likelihood = judged_likelihood(mse, self._values, self.settings)
        return (self.settings.beta_rec * likelihood + self.settings.beta_kl * kl) / self._values

    def _reconstruction(self, mse: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        return self.settings.beta_rec * mse / (2 * variance)

    def _variance(self, seen: Pass) -> torch.Tensor:
        return noise_variance(seen.errors, torch.ones_like(seen.errors), self.settings)

    def _elbo(
        self, images: torch.Tensor, posterior: DiagonalGaussian, variance: torch.Tensor, moment: Moment
    ) -> torch.Tensor:
        """The ELBO of generated images, weighted, (N,)."""
        latents = posterior.draw(moment.draws.normal(tuple(posterior.mean.shape)))
        decoded = self.decoded(latents, frozen(self.network, "decoder"))
        errors = (images - decoded).square().flatten(1).mean(dim=1)
        kl = posterior.kl() / self.network.latent.size
        return -(self._reconstruction(errors, variance) + self.settings.beta_neg * kl)

    @property
    def _values(self) -> int:
        return torch.Size(self.network.image_shape).numel()
