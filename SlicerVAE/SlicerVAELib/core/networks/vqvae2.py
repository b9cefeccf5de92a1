"""VQ-VAE-2 (Razavi et al. 2019) with two levels, a baseline of source 003.

The bottom level has a quarter of the image's side, the top level an eighth; K=512 vectors of D=64 each. The bottom's
codes are conditioned on the decoded top's, and the decoder takes both. Widths as in the original: 128 filters, two
residual blocks of 32 at each level, linear output.
"""

import dataclasses

import torch
from torch import nn

from ..encoding import CodeLevels
from ..latent import Latent
from .codebook import Codebook, CodeNetwork
from .stages import bare_up, down, image, keep, level, up


@dataclasses.dataclass(frozen=True)
class VQVAE2Settings:
    """Image side in pixels, image channels, number K of codes of either codebook and their dimension D, filters,
    residual blocks of each level and their ``hidden`` filters."""

    size: int = dataclasses.field(default=128, metadata={"choices": (64, 128, 256)})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    codebook_size: int = dataclasses.field(default=512, metadata={"min": 2, "max": 65_536})
    dimension: int = dataclasses.field(default=64, metadata={"min": 1, "max": 1024})
    filters: int = dataclasses.field(default=128, metadata={"min": 2, "max": 4096})
    residuals: int = dataclasses.field(default=2, metadata={"min": 0, "max": 64})
    hidden: int = dataclasses.field(default=32, metadata={"min": 1, "max": 1024})


class VQVAE2(CodeNetwork):
    """The network of ``vqvae2``; the latents are [top, bottom] vectors, flat."""

    encoder: nn.ModuleDict
    decoder: nn.ModuleDict

    def __init__(self, settings: VQVAE2Settings) -> None:
        super().__init__()
        self.image_size, self.channels = settings.size, settings.channels
        top, bottom = settings.size // 8, settings.size // 4
        d = settings.dimension
        self._shapes = (torch.Size((d, top, top)), torch.Size((d, bottom, bottom)))
        self._latent = Latent(
            "codes",
            (d * (top**2 + bottom**2),),
            grids=((top, top), (bottom, bottom)),
            codebook_size=settings.codebook_size,
        )
        self.top_codebook = Codebook(settings.codebook_size, d)
        self.bottom_codebook = Codebook(settings.codebook_size, d)
        filters, blocks = settings.filters, (settings.residuals, settings.hidden)
        self.encoder = nn.ModuleDict(
            {
                "bottom": nn.Sequential(
                    down(settings.channels, filters // 2), down(filters // 2, filters), level(filters, filters, *blocks)
                ),
                "top": nn.Sequential(down(filters, filters // 2), level(filters // 2, filters, *blocks)),
                "to_top_vectors": keep(filters, d, 1),
                "lift": nn.Sequential(level(d, filters, *blocks), bare_up(filters, d)),
                "to_bottom_vectors": keep(d + filters, d, 1),
            }
        )
        self.decoder = nn.ModuleDict(
            {
                "lift": bare_up(d, d),
                "images": nn.Sequential(
                    level(2 * d, filters, *blocks), up(filters, filters // 2), image(filters // 2, settings.channels)
                ),
            }
        )

    @property
    def latent(self) -> Latent:
        """Two squares of codes."""
        return self._latent

    @property
    def codebooks(self) -> list[Codebook]:
        """The top's, with the coarse grid, and the bottom's."""
        return [self.top_codebook, self.bottom_codebook]

    def encode(self, images: torch.Tensor) -> CodeLevels:
        """Codes of the images (N, C, H, W), the top's first."""
        fine = self.encoder["bottom"](images)
        top = self.top_codebook(self.encoder["to_top_vectors"](self.encoder["top"](fine)))
        lifted = self.encoder["lift"](top.mode)
        joined = torch.cat([lifted, fine.to(lifted)], dim=1)
        return CodeLevels((top, self.bottom_codebook(self.encoder["to_bottom_vectors"](joined))))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W), not bounded to [0, 1], of the codes' vectors (N, J)."""
        sizes = [shape.numel() for shape in self._shapes]
        top, bottom = (
            part.unflatten(1, shape) for part, shape in zip(latents.split(sizes, dim=1), self._shapes, strict=True)
        )
        lifted = self.decoder["lift"](top)
        return self.decoder["images"](torch.cat([lifted, bottom.to(lifted)], dim=1)).float()
