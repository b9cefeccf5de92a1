"""Batches of images, and where they come from."""

import dataclasses
from typing import Protocol

import torch


@dataclasses.dataclass(eq=False)  # not frozen: Fabric rebuilds what is handed to a module
class Batch:
    """``images`` float32 (N, C, H, W) or (N, C, D, H, W) in [0, 1]; ``kept`` (N, 1, H, W) or (N, 1, D, H, W) is 1 where
    a pixel counts in the loss and 0 where it is left out, None where all count."""

    images: torch.Tensor
    kept: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)


class ImageSource(Protocol):
    """Images that training can ask for by number."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def batch(self, indices: torch.Tensor) -> Batch:
        """The images of some numbers (n,), on the CPU."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class ImagesInMemory:
    """Images (N, …) held in memory."""

    images: torch.Tensor
    kept: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: torch.Tensor) -> Batch:
        """The images of some numbers (n,)."""
        return Batch(self.images[indices], None if self.kept is None else self.kept[indices])


@dataclasses.dataclass(frozen=True, eq=False)
class Joined:
    """Images of one source followed by those of another, which counts all their pixels."""

    first: ImageSource
    second: ImageSource

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def batch(self, indices: torch.Tensor) -> Batch:
        """The images of some numbers (n,)."""
        of_first = indices < len(self.first)
        if bool(of_first.all()):
            return self.first.batch(indices)
        parts = [self.first.batch(indices[of_first]), self.second.batch(indices[~of_first] - len(self.first))]
        order = torch.cat([of_first.nonzero()[:, 0], (~of_first).nonzero()[:, 0]]).argsort()
        images = torch.cat([part.images for part in parts])[order]
        if all(part.kept is None for part in parts):
            return Batch(images)
        kept = [torch.ones_like(part.images[:, :1]) if part.kept is None else part.kept for part in parts]
        return Batch(images, torch.cat(kept)[order])
