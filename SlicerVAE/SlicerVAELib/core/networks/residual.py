"""The residual stacks of Table 5.2 of the knee X-ray thesis (source 000), which its families share.

Down: Conv[8, 4×4, s2] → Res 16 → Res 32 → Res 64 → Res 128 → Res 256, each halving the side: 256 pixels to 4×4.
Up: ResUp 128, 64, 32, 16, 8 → ConvUp[8, 4×4, s2] → Conv[1, 1×1], each but the last doubling it.
For a smaller image, or a larger map in the middle, the outer blocks are left out: the encoder's first, the decoder's
last.
"""

import torch
from torch import nn
from torch.nn import functional

SLOPE = 0.2
STEM_FILTERS = 8
BOTTOM_FILTERS = 256
BOTTOM_SIDE = 4
ENCODER_FILTERS = (16, 32, 64, 128, 256)
DECODER_FILTERS = (128, 64, 32, 16, 8)
SIZES = (64, 128, 256)


class ResidualDown(nn.Module):
    """Halves the side: shortcut [c, 1×1, s2] + main [c, 4×4, s1] → [c, 4×4, s2].

    Batch norm follows all three convolutions; the only activation is that of the sum.
    """

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, filters, 1, stride=2), nn.BatchNorm2d(filters))
        self.main = nn.Sequential(
            nn.ZeroPad2d((1, 2, 1, 2)),
            nn.Conv2d(inputs, filters, 4),
            nn.BatchNorm2d(filters),
            nn.Conv2d(filters, filters, 4, stride=2, padding=1),
            nn.BatchNorm2d(filters),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, filters, H/2, W/2)."""
        return functional.leaky_relu(self.main(images) + self.shortcut(images), SLOPE)


class ResidualUp(nn.Module):
    """Doubles the side: shortcut nearest ×2 → [c, 1×1] + main transposed [c, 4×4, s1] → transposed [c, 4×4, s2]."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        # 1×1 and nearest neighbour commute; the convolution first is a quarter of the work.
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, filters, 1), nn.BatchNorm2d(filters))
        self.main = nn.Sequential(
            # A transposed convolution of stride 1 cropped by 1 and 2 is a convolution with the kernel turned round and
            # padding 2 and 1, which runs faster.
            nn.ZeroPad2d((2, 1, 2, 1)),
            nn.Conv2d(inputs, filters, 4),
            nn.BatchNorm2d(filters),
            nn.ConvTranspose2d(filters, filters, 4, stride=2, padding=1),
            nn.BatchNorm2d(filters),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, filters, 2H, 2W)."""
        shortcut = functional.interpolate(self.shortcut(images), scale_factor=2, mode="nearest")
        return functional.leaky_relu(self.main(images) + shortcut, SLOPE)


def block_count(size: int, side: int) -> int:
    """Residual blocks between an image of ``size`` pixels and a map of ``side``; one halving is the first layer's."""
    return (size // side).bit_length() - 2


def down_layers(channels: int, blocks: int, stem_filters: int = STEM_FILTERS) -> list[nn.Module]:
    """Layers from images (N, channels, S, S) to (N, 256, s, s), s = S / 2^(blocks + 1): the last ``blocks`` ones."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels, stem_filters, 4, stride=2, padding=1),
        nn.BatchNorm2d(stem_filters),
        nn.LeakyReLU(SLOPE),
    ]
    inputs = stem_filters
    for outputs in ENCODER_FILTERS[len(ENCODER_FILTERS) - blocks :]:
        layers.append(ResidualDown(inputs, outputs))
        inputs = outputs
    return layers


def up_layers(inputs: int, blocks: int, channels: int) -> list[nn.Module]:
    """Layers from (N, inputs, s, s) to images before the sigmoid, (N, channels, S, S), S = 2^(blocks + 1) s: the first
    ``blocks`` ones."""
    layers: list[nn.Module] = []
    for outputs in DECODER_FILTERS[:blocks]:
        layers.append(ResidualUp(inputs, outputs))
        inputs = outputs
    return [
        *layers,
        nn.ConvTranspose2d(inputs, STEM_FILTERS, 4, stride=2, padding=1),
        nn.BatchNorm2d(STEM_FILTERS),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(STEM_FILTERS, channels, 1),
    ]


def dense_encoder(size: int, channels: int, outputs: int) -> nn.Sequential:
    """The encoder of Table 5.2: images (N, channels, size, size) to 4×4×256 to ``outputs`` numbers (N, outputs)."""
    return nn.Sequential(
        *down_layers(channels, block_count(size, BOTTOM_SIDE)),
        nn.Flatten(),
        nn.Linear(BOTTOM_SIDE**2 * BOTTOM_FILTERS, outputs),
    )


def dense_decoder(size: int, channels: int, inputs: int) -> nn.Sequential:
    """The decoder of Table 5.2, without its sigmoid: ``inputs`` numbers (N, inputs) to 4×4×256 to images."""
    return nn.Sequential(
        nn.Linear(inputs, BOTTOM_SIDE**2 * BOTTOM_FILTERS),
        nn.Unflatten(1, (BOTTOM_FILTERS, BOTTOM_SIDE, BOTTOM_SIDE)),
        *up_layers(BOTTOM_FILTERS, block_count(size, BOTTOM_SIDE), channels),
    )
