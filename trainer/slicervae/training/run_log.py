"""TensorBoard logs of a run, beside its metrics.csv."""

from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import Network

from ..data.batch import ImageSource

PICTURED = 8


class RunLog:
    """Writes each closed epoch's row as scalars, and now and then validation images over their reconstructions.

    An epoch that was logged before a run was killed, and is trained anew, replaces what was logged.
    """

    def __init__(self, folder: Path, first_epoch: int) -> None:
        self._folder = folder
        self._writer = SummaryWriter(str(folder), purge_step=first_epoch + 1 if first_epoch else None)

    def write(self, row: dict[str, float], epochs: int, network: Network, images: ImageSource) -> None:
        """Log a row of metrics.csv and, about ``PICTURED`` times in ``epochs``, some images over their reconstructions.

        Raises UserError when the disk is full.
        """
        epoch = int(row["epoch"])
        try:
            for name, value in row.items():
                part, _, term = name.partition("_")
                if part in ("train", "validation"):
                    self._writer.add_scalar(f"{term}/{part}", value, epoch)
            if epoch % max(1, epochs // PICTURED) == 0:
                self._writer.add_image("originals over reconstructions", _picture(network, images), epoch)
            self._writer.flush()
        except OSError as error:
            raise UserError(
                f"The logs in {self._folder} can't be written ({error.strerror or error}); free space, then --resume."
            ) from None

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def _picture(network: Network, images: ImageSource) -> torch.Tensor:
    """(1, 2H, N·W); of a cube its middle slice, of several channels the first."""
    originals = images.batch(torch.linspace(0, len(images) - 1, min(PICTURED, len(images))).long()).images
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        reconstructions = network.reconstruct(originals.to(device)).float().cpu()
    return torch.cat([_flat(stack) for stack in (originals, reconstructions)]).clamp(0, 1)[None]


def _flat(images: torch.Tensor) -> torch.Tensor:
    """One row of pictures (H, N·W) of images (N, C, H, W) or cubes (N, C, D, H, W)."""
    first = images[:, 0]
    if first.ndim == 4:
        first = first[:, first.shape[1] // 2]
    return torch.cat(list(first), dim=1)
