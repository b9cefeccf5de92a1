"""What every network offers to objectives, maps, synthesis and search."""

import abc
import math

import torch
from torch import nn

from ..encoding import LOG_VARIANCE_RANGE, DiagonalGaussian, Encoding
from ..errors import UserError
from ..latent import Latent

DARKEST = 0.01  # a mean that is nearer to 0 or 1 would begin where the sigmoid has no slope


class Network(nn.Module, abc.ABC):
    """An encoder and a decoder of square images or cubes with values in [0, 1].

    Images are (N, C, H, W), or (N, C, D, H, W) where ``dimensions`` is 3; ``image_size`` is the length of every side in
    pixels, ``channels`` C. The last ``structure_channels`` of them are probabilities of structures, which sum to one in
    every pixel; those before are images. ``encoder`` and ``decoder`` hold all weights.
    """

    image_size: int
    channels: int
    dimensions: int = 2
    structure_channels: int = 0

    encoder: nn.Module
    decoder: nn.Module

    @property
    @abc.abstractmethod
    def latent(self) -> Latent:
        """What kind of latents it has."""

    @abc.abstractmethod
    def encode(self, images: torch.Tensor) -> Encoding:
        """What the encoder says of the images."""

    @abc.abstractmethod
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images of the latents (N, *latent.shape). A family with a linear output may leave [0, 1] a little."""

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """The images as the model explains them: the decoded mode of their encoding."""
        return self.decode(self.encode(images).mode)

    def begin_at(self, means: torch.Tensor) -> None:
        """Let an untrained network's images begin about the training images' mean of each channel (C,).

        Only where it matters, which is behind a sigmoid.
        """

    def draw(self, generator: torch.Generator, temperature: float = 1.0) -> torch.Tensor:
        """The latents of one image drawn from the prior, (*latent.shape), on the CPU.

        ``temperature`` scales a Gaussian prior's standard deviation. Raises UserError for a model without a prior.
        """
        latent = self.latent
        if latent.kind == "point":
            raise UserError("A plain autoencoder has no prior to draw from; choose a variational model.")
        return torch.randn(latent.shape, generator=generator) * (temperature * math.sqrt(latent.prior_variance))

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image: (C, H, W) or (C, D, H, W)."""
        return (self.channels, *(self.image_size,) * self.dimensions)


class GaussianNetwork(Network):
    """A network whose encoder gives the means and then the log variances of its Gaussian latents, along the channels,
    (N, 2·latent.shape[0], …)."""

    _latent: Latent

    @property
    def latent(self) -> Latent:
        """Gaussian latents."""
        return self._latent

    def encode(self, images: torch.Tensor) -> DiagonalGaussian:
        """Posterior of each of the images."""
        # Latent arithmetic stays in single precision under autocast: KL divergences and exp() need it.
        mean, log_variance = self.encoder(images).float().chunk(2, dim=1)
        return DiagonalGaussian(mean, log_variance.clamp(*LOG_VARIANCE_RANGE), self._latent.prior_variance)


class SigmoidNetwork(Network):
    """A network whose decoder is a sequence that ends in the convolution to the images' logits."""

    decoder: nn.Sequential

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1] of the latents (N, *latent.shape)."""
        return torch.sigmoid(self.decoder(latents).float())

    @torch.no_grad()
    def begin_at(self, means: torch.Tensor) -> None:
        """Set the last layer's bias to the logits of the means.

        Medical images are dark. From grey on, a step of the optimiser moves a logit by about the learning rate, and
        the first hundreds of them would do nothing else than blacken the background.
        """
        self.decoder[-1].bias.copy_(torch.logit(means, eps=DARKEST))  # type: ignore[operator]


def parameter_count(module: nn.Module) -> int:
    """Number of weights as Keras counts them: parameters and the batch norms' running mean and variance."""
    weights = sum(parameter.numel() for parameter in module.parameters())
    running = sum(b.numel() for name, b in module.named_buffers() if not name.endswith("num_batches_tracked"))
    return weights + running
