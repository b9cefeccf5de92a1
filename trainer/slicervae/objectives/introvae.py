"""IntroVAE (source 000 §4.4; Huang et al. 2018): the KL divergence tells real images from generated ones."""

import dataclasses
from typing import Literal

import torch

from .base import Moment, Terms
from .introspection import Introspection, IntrospectionSettings, Pass
from .passes import frozen


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntroVAESettings(IntrospectionSettings):
    """The weights of the game.

    Both terms that depend on sizes are given per latent, so that they mean the same for every size of image and latent:
    ``margin`` is m/J in nats, and ``reconstruction`` the factor of J times the mean squared error. The original, at
    3·256² values with J = 512, has m = 120, hence 0.234, and 0.05 times the sum of squares, hence 0.05·196,608/512 =
    19.2. That leaves 50 latents of a head too little to tell: on 32² FLAIR slices 4 nats of KL before the game, which
    the encoder then won (KL of generated images above the margin, squared error up by a half). With the defaults, 11
    nats and the KL of generated images stayed below the margin.
    ``encoder_hinge`` is α in L_E, of both hinges, and ``generator_kl`` α in L_G, both as in the original.
    """

    kind: Literal["introvae"] = "introvae"
    margin: float = dataclasses.field(default=0.4, metadata={"min": 0.0, "max": 1e4})
    reconstruction: float = dataclasses.field(default=100.0, metadata={"min": 0.0, "max": 1e9})
    encoder_hinge: float = dataclasses.field(default=0.25, metadata={"min": 0.0, "max": 1e4})
    generator_kl: float = dataclasses.field(default=0.5, metadata={"min": 0.0, "max": 1e4})


class IntroVAEObjective(Introspection):
    """L_E = KL(x) + α Σ_s [m − KL(ng x_s)]⁺ + β L_rec and L_G = α Σ_s KL(x_s) + β L_rec, eqs. 4.15.

    s runs over reconstructed and sampled images, KL(x) = KL(Enc(x)‖N(0, σ_z² I)), in nats, [·]⁺ is taken image by
    image. The hinge weight α applies to both.
    """

    settings: IntroVAESettings

    def encoder_terms(self, seen: Pass, moment: Moment) -> Terms:  # noqa: ARG002
        """L_E."""
        kl = seen.posterior.kl().mean()
        parts = {"mse": seen.mse, "kl": kl}
        loss = kl + self._weighted(seen.mse)
        for name, images in seen.generated.items():
            kl_of_generated = self.encoded(images, {}).kl()
            hinge = (self.settings.margin * self.network.latent.size - kl_of_generated).clamp_min(0)
            loss = loss + self.settings.encoder_hinge * hinge.mean()
            parts[f"kl_{name}"] = kl_of_generated.mean()
        return Terms(loss, parts)

    def generator_terms(self, seen: Pass, moment: Moment) -> Terms:  # noqa: ARG002
        """L_G."""
        parts = {"mse": seen.mse}
        loss = self._weighted(seen.mse)
        for name, images in seen.generated.items():
            kl = self.encoded(images, frozen(self.network, "encoder")).kl().mean()
            loss = loss + self.settings.generator_kl * kl
            parts[f"kl_{name}"] = kl
        return Terms(loss, parts)

    def real_loss(self, mse: float, kl: float) -> float:
        """KL(x) + β L_rec."""
        return kl + self.settings.reconstruction * self.network.latent.size * mse

    def _weighted(self, mse: torch.Tensor) -> torch.Tensor:
        return self.settings.reconstruction * self.network.latent.size * mse
