"""Networks of an image together with the structures drawn on it."""

import abc

import torch

from .interface import Network


class StructureNetwork(Network):
    """A network whose last ``structure_channels`` channels are structures and their complement, one class a pixel.

    It offers its structures as logits too, of which a loss can take logarithms without rounding to ln 0.
    """

    @property
    def image_channels(self) -> int:
        """Number of channels in front of the structures."""
        return self.channels - self.structure_channels

    @abc.abstractmethod
    def decode_apart(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, image channels, H, W) in [0, 1], and logits of the structures (N, R + 1, H, W), both float32."""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images, and probabilities of the structures in the channels after them, (N, channels, H, W)."""
        images, logits = self.decode_apart(latents)
        return torch.cat([images, torch.softmax(logits, dim=1)], dim=1)
