"""The layers of source 004's networks: strided convolution, batch norm (ε 10⁻³), LeakyReLU (0.3).

The source prints "padding 0" for convolutions that halve the side exactly; only Keras's "same" does so.
"""

from torch import nn

EPSILON = 1e-3
SLOPE = 0.3


def halving(inputs: int, filters: int, kernel: int = 4) -> nn.Sequential:
    """(N, inputs, 2S, 2S) to (N, filters, S, S), for a ``kernel`` of 3 or 4."""
    return nn.Sequential(
        nn.Conv2d(inputs, filters, kernel, stride=2, padding=1), nn.BatchNorm2d(filters, EPSILON), nn.LeakyReLU(SLOPE)
    )


def doubling(inputs: int, filters: int, kernel: int = 4) -> nn.Sequential:
    """(N, inputs, S, S) to (N, filters, 2S, 2S), for a ``kernel`` of 3 or 4."""
    return nn.Sequential(bare_doubling(inputs, filters, kernel), nn.BatchNorm2d(filters, EPSILON), nn.LeakyReLU(SLOPE))


def bare_doubling(inputs: int, filters: int, kernel: int = 4) -> nn.ConvTranspose2d:
    """The transposed convolution alone, as the last layer before the sigmoid."""
    return nn.ConvTranspose2d(inputs, filters, kernel, stride=2, padding=1, output_padding=4 - kernel)
