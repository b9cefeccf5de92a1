"""The layers of source 002's networks: an encoder that convolves and pools, and the pieces of its decoders.

Both meet at a map of 8 pixels a side. A transposed convolution of stride 1 is a convolution with the kernel turned
round; it is written as one, which runs faster.
"""

import torch
from torch import nn
from torch.nn import init

SLOPE = 0.01
KERNEL = 3
BOTTOM_SIDE = 8
HIDDEN = 256

_CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_POOLING = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_MEMORY = {2: torch.channels_last, 3: torch.channels_last_3d}


class ChannelsLast(nn.Module):
    """The same maps with the channels innermost in memory, as processors convolve few channels fastest."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self._format = _MEMORY[dimensions]

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, C, …) to the same."""
        return maps.contiguous(memory_format=self._format)


def encoder(channels: int, size: int, outputs: int, *, filters: int, dimensions: int, keep: float) -> nn.Sequential:
    """(N, channels, *(size,)·dimensions) to (N, outputs).

    Blocks of [two convolutions 3×3 with LeakyReLU(0.01), max-pooling by 2, dropout] down to 8 pixels a side, then a
    dense layer of 256 and one of ``outputs``. ``keep`` is the probability that a unit survives dropout.
    """
    layers: list[nn.Module] = [ChannelsLast(dimensions)]
    inputs, side = channels, size
    while side > BOTTOM_SIDE:
        for _ in range(2):
            layers += [_CONVOLUTION[dimensions](inputs, filters, KERNEL, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
            inputs = filters
        layers += [_POOLING[dimensions](2), nn.Dropout(1 - keep)]
        side //= 2
    layers += [
        nn.Flatten(),
        nn.Linear(filters * BOTTOM_SIDE**dimensions, HIDDEN),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Linear(HIDDEN, outputs),
    ]
    return initialised(nn.Sequential(*layers))


def dense_to_map(latent: int, *, filters: int, dimensions: int) -> list[nn.Module]:
    """Latents (N, latent) to maps (N, filters, *(8,)·dimensions): dense 256, LeakyReLU, dense."""
    return [
        nn.Linear(latent, HIDDEN),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Linear(HIDDEN, filters * BOTTOM_SIDE**dimensions),
        nn.Unflatten(1, (filters, *(BOTTOM_SIDE,) * dimensions)),
        ChannelsLast(dimensions),
    ]


def up_blocks(side: int, target: int, *, filters: int, dimensions: int, keep: float) -> list[nn.Module]:
    """Maps of ``side`` pixels a side to ``target``, each block doubling it.

    A block is [transposed convolution s1, ReLU, dropout, transposed convolution s2, ReLU].
    """
    layers: list[nn.Module] = []
    while side < target:
        layers += [
            _CONVOLUTION[dimensions](filters, filters, KERNEL, padding=1),
            nn.ReLU(inplace=True),
            nn.Dropout(1 - keep),
            doubling(filters, filters, dimensions),
            nn.ReLU(inplace=True),
        ]
        side *= 2
    return layers


def doubling(inputs: int, outputs: int, dimensions: int) -> nn.Module:
    """A transposed convolution 3×3 of stride 2, cropped to exactly twice the side."""
    return _TRANSPOSED[dimensions](inputs, outputs, KERNEL, stride=2, padding=1, output_padding=1)


def initialised(network: nn.Sequential) -> nn.Sequential:
    """The layers with weights that keep the signal's variance (He et al. 2015) and biases of zero.

    Nothing normalises these deep stacks: PyTorch's own start shrinks the signal by a factor of √6 a layer, so that the
    differences between images vanish before they reach the latents.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear):
            inputs = layer.weight[0].numel()
        elif isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
            # Of stride 2: along each axis an output pixel sums over every second tap.
            inputs = layer.weight[:, 0].numel() / 2 ** (layer.weight.ndim - 2)
        else:
            continue
        init.normal_(layer.weight, std=(2 / inputs) ** 0.5)
        assert layer.bias is not None
        init.zeros_(layer.bias)
    return network
