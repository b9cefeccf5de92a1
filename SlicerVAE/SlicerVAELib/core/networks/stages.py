"""Convolutional stages without normalisation, in the manner of VQ-VAE-2, which the networks of source 003 resemble.

Nothing is normalised: a faint image, such as the low-level part of one, then stays distinguishable from a strong one.
A decoder that sees more noise than signal learns to ignore its latents within the first steps, and the posteriors
collapse for good. So the weights begin as He et al. 2015 draw them for ReLU, which keep a signal's variance from layer
to layer, and the posteriors begin narrow. Outputs are to be linear: most of a slice of the head is black, which drives
a sigmoid behind layers without normalisation so far down that no gradient comes back.
"""

from typing import TypeVar

import torch
from torch import nn
from torch.nn import functional

FIRST_LOG_VARIANCE = -4.0  # σ = 0.14, and 1.5 nats a latent
FAINT = 0.1  # first weights of outputs, so that learning does not begin with undoing what is drawn at random

Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d)


class Residual(nn.Module):
    """x + [c, 1×1] ∘ ReLU ∘ [hidden, 3×3] ∘ ReLU of x."""

    def __init__(self, filters: int, hidden: int) -> None:
        super().__init__()
        self.first = keep(filters, hidden, 3)
        self.second = keep(hidden, filters, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, c, H, W) to the same."""
        return maps + self.second(functional.relu(self.first(functional.relu(maps))))


def down(inputs: int, filters: int) -> nn.Sequential:
    """Halve the side: [filters, 4×4, s2] and ReLU."""
    return nn.Sequential(_begun(nn.Conv2d(inputs, filters, 4, stride=2, padding=1), inputs * 16), nn.ReLU())


def up(inputs: int, filters: int) -> nn.Sequential:
    """Double the side: transposed [filters, 4×4, s2] and ReLU."""
    return nn.Sequential(bare_up(inputs, filters), nn.ReLU())


def posterior_maps(inputs: int, maps: int) -> nn.Conv2d:
    """μ and ln σ² of latent maps, one after the other, of a 1×1 convolution."""
    layer = keep(inputs, 2 * maps, 1)
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight[maps:] *= FAINT
        nn.init.constant_(layer.bias[maps:], FIRST_LOG_VARIANCE)
    return layer


def image(inputs: int, channels: int) -> nn.ConvTranspose2d:
    """The last layer of a decoder: it doubles the side, without an activation."""
    layer = bare_up(inputs, channels)
    with torch.no_grad():
        layer.weight *= FAINT
    return layer


def bare_up(inputs: int, filters: int) -> nn.ConvTranspose2d:
    """Double the side without an activation."""
    # A pixel of a transposed convolution of stride 2 sees a quarter of the kernel.
    return _begun(nn.ConvTranspose2d(inputs, filters, 4, stride=2, padding=1), inputs * 4)


def keep(inputs: int, filters: int, kernel: int) -> nn.Conv2d:
    """Keep the side, without an activation: [filters, kernel×kernel] for an odd kernel."""
    return _begun(nn.Conv2d(inputs, filters, kernel, padding=kernel // 2), inputs * kernel**2)


def level(inputs: int, filters: int, residuals: int, hidden: int) -> nn.Sequential:
    """Keep the side: [filters, 3×3], residual blocks and ReLU."""
    return nn.Sequential(keep(inputs, filters, 3), *(Residual(filters, hidden) for _ in range(residuals)), nn.ReLU())


def _begun(layer: Layer, seen: int) -> Layer:
    """The layer with He's first weights, each output seeing ``seen`` inputs."""
    nn.init.normal_(layer.weight, std=(2 / seen) ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
