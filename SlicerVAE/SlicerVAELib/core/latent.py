"""What kind of latents a network has, as data that needs no torch."""

import dataclasses
import math
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Latent:
    """The latents of one image.

    ``shape`` is that of the tensor ``Network.decode`` takes. "gaussian" latents have the prior N(0, ``prior_variance``
    I); "codes" have one or more ``grids`` of codes (coarsest first) of ``codebook_size`` vectors; a "point" is a plain
    autoencoder's, without a prior.
    """

    kind: Literal["gaussian", "codes", "point"]
    shape: tuple[int, ...]
    prior_variance: float = 1.0
    grids: tuple[tuple[int, ...], ...] = ()
    codebook_size: int = 0

    @property
    def size(self) -> int:
        """Numbers a latent consists of, J."""
        return math.prod(self.shape)

    @property
    def bits(self) -> float:
        """Bits that the codes of one image take: log₂ K for each; 0 without codes."""
        return sum(math.prod(grid) for grid in self.grids) * math.log2(self.codebook_size or 1)

    @property
    def in_words(self) -> str:
        """What a person is told: "50", "9×3×3" or "32×32 codes, 9,216 bits"."""
        if self.kind != "codes":
            return "×".join(map(str, self.shape))
        grids = " + ".join("×".join(map(str, grid)) for grid in self.grids)
        return f"{grids} codes, {self.bits:,.0f} bits"

    @property
    def similarity(self) -> tuple[str, ...]:
        """What the likeness of two images can be measured with, the default first; see ``core.measures``."""
        return {
            "gaussian": ("kl", "reverse-kl", "symmetric-kl"),
            "codes": ("code-histogram", "pre-quantisation"),
            "point": ("euclidean",),
        }[self.kind]
