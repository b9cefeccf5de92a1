"""Synthetic slices of a VQ-VAE, from a learned prior over its codes."""

import torch

from .code_prior import CodePrior
from .code_prior_sampling import draw_codes
from .networks.codebook import CodeNetwork
from .progress import Cancel, Meter
from .synthesis import seeded


class LearnedCodes:
    """A learned prior over the codes of ``network``; draws are the codes' vectors."""

    def __init__(self, prior: CodePrior, network: CodeNetwork) -> None:
        self._prior, self._network = prior, network

    @property
    def in_words(self) -> str:
        """What it is."""
        return "learned prior over codes"

    @property
    def takes_temperature(self) -> bool:
        """The temperature divides the codes' logits."""
        return True

    def draw(self, count: int, *, seed: int, temperature: float, meter: Meter, cancel: Cancel) -> torch.Tensor:
        """The vectors (count, *latent.shape) of drawn codes; see ``synthesis.Prior``."""
        codes = draw_codes(self._prior, count, seeded(seed), temperature, meter, cancel)
        return self._network.vectors_of(codes)
