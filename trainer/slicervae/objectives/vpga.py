"""The variational perceptual generative autoencoder (source 000 §4.2; Zhang et al. 2020)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, cast

import torch

from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.networks import Network

from ..data.batch import Batch
from .base import Moment, Objective, Terms, squared_error
from .passes import decode_with, encode_with, frozen, reason_against_network, unrecorded


@dataclasses.dataclass(frozen=True, kw_only=True)
class VPGASettings:
    """The weights of the terms beside L_rec; those of the original for MNIST are the defaults.

    ``prior_latents`` is α, ``image_latents`` β, and η is ``noisy_latents`` for L_vrec and ``kl`` for L_kl.
    """

    kind: Literal["vpga"] = "vpga"
    prior_latents: float = dataclasses.field(default=0.06, metadata={"min": 0.0, "max": 1e6})
    image_latents: float = dataclasses.field(default=0.0, metadata={"min": 0.0, "max": 1e6})
    noisy_latents: float = dataclasses.field(default=0.01, metadata={"min": 0.0, "max": 1e6})
    kl: float = dataclasses.field(default=0.02, metadata={"min": 0.0, "max": 1e6})


class VPGAObjective(Objective):
    """L_rec + α L_lr,N + β L_lr,H + η(L_vrec + L_kl), eq. 4.10, with h(z) = Enc(Dec(z)) and Enc(x) the mean μ.

    - L_rec = ½‖Dec(μ) − x‖² trains both;
    - L_lr = ½‖h(z) − z‖², with z ~ N(0, σ_z² I) or the means z = μ as constants, trains the encoder only;
    - L_vrec = ½‖h(μ + σε) − h(μ)‖², the −ln p(ẑ|z) of eq. 4.9 with unit variance and ẑ = h(μ), trains both;
    - L_kl = KL(q(z|x)‖N(0, σ_z² I)) trains the encoder only.

    Every term is a mean over its numbers, pixels or latents, the scale that the original's weights belong to. Batch
    norm's running statistics are those of x and Dec(μ).
    """

    settings: VPGASettings

    @classmethod
    def reason_against(cls, network: Network, settings: VPGASettings) -> str:
        """It needs Gaussian latents, and images alone: a squared error is no measure of structures."""
        return reason_against_network(network, settings.kind)

    def forward(self, batch: Batch, moment: Moment, phase: str = "all") -> Terms:  # noqa: ARG002 - only one
        """Terms of a batch, with one draw from each posterior and one from the prior for each image."""
        weights, size = self.settings, self.network.latent.size
        posterior = self._encoded(batch.images)
        shape = tuple(posterior.mean.shape)
        epsilon, prior = (moment.draws.normal(shape).to(posterior.mean) for _ in range(2))
        images = self.network.decode(posterior.mean)
        mse = squared_error(batch, images).mean()
        kl = posterior.kl().mean()
        parts = {"mse": mse, "kl": kl}
        loss = mse / 2 + weights.kl * kl / size
        if weights.prior_latents:
            parts["prior_latents"] = self._returned_by_encoder(prior * posterior.prior_variance**0.5)
            loss = loss + weights.prior_latents * parts["prior_latents"]
        if weights.image_latents:
            parts["image_latents"] = self._returned_by_encoder(posterior.mean.detach())
            loss = loss + weights.image_latents * parts["image_latents"]
        if weights.noisy_latents:
            parts["noisy_latents"] = self._kept_in_noise(posterior, epsilon, images)
            loss = loss + weights.noisy_latents * parts["noisy_latents"]
        return Terms(loss, parts)

    def measure(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Squared error at the posterior mean, KL, and L_lr,H, which needs no random numbers, of each image."""
        posterior = self._encoded(batch.images)
        images = self.network.decode(posterior.mean)
        returned = self._encoded(images).mean
        latents = (returned - posterior.mean).square().flatten(1).mean(dim=1) / 2
        return {"mse": squared_error(batch, images), "kl": posterior.kl(), "image_latents": latents}

    def judge(self, means: Mapping[str, float]) -> float:
        """The loss, with latents of the images in the place of those that training draws."""
        weights = self.settings
        latents = weights.prior_latents + weights.image_latents + weights.noisy_latents
        return means["mse"] / 2 + latents * means["image_latents"] + weights.kl * means["kl"] / self.network.latent.size

    def _encoded(self, images: torch.Tensor) -> DiagonalGaussian:
        return cast(DiagonalGaussian, self.network.encode(images))

    def _returned_by_encoder(self, latents: torch.Tensor) -> torch.Tensor:
        """L_lr of given latents, which trains the encoder only."""
        aside = unrecorded(self.network)
        images = decode_with(self.network, latents, {**aside, **frozen(self.network, "decoder")})
        returned = cast(DiagonalGaussian, encode_with(self.network, images, aside)).mean
        return (returned - latents).square().mean() / 2

    def _kept_in_noise(
        self, posterior: DiagonalGaussian, epsilon: torch.Tensor, images_of_means: torch.Tensor
    ) -> torch.Tensor:
        """L_vrec, which trains encoder and decoder."""
        aside = unrecorded(self.network)
        images = decode_with(self.network, posterior.draw(epsilon), aside)
        there, noisy = (
            cast(DiagonalGaussian, encode_with(self.network, decoded, aside)).mean
            for decoded in (images_of_means, images)
        )
        return (noisy - there).square().mean() / 2
