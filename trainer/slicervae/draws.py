"""Random numbers of training that depend on the seed and the step alone, not on what ran before or on how many share
the work: so a run can be resumed anywhere, and a batch can be cut into parts.
"""

import dataclasses
from typing import Literal

import torch

Purpose = Literal["order", "noise", "augmentation", "prior", "dropout"]
_SALT = {"order": 1, "noise": 2, "augmentation": 3, "prior": 5, "dropout": 6}


def generator_of(seed: int, purpose: Purpose, number: int) -> torch.Generator:
    """A generator of its own for every seed, purpose and step or epoch."""
    # The odd constant keeps neighbouring seeds apart.
    return torch.Generator().manual_seed(((seed * 0x9E3779B1 + number) * 8 + _SALT[purpose]) % (2**63))


@dataclasses.dataclass(eq=False)  # not frozen: Fabric rebuilds what is handed to a module
class Draws:
    """Random numbers for one part of a batch.

    Every call draws for the whole batch and returns the rows of part ``part`` of ``parts`` equal parts, so that
    processes and accumulated parts together see the very numbers that one process with the whole batch would see.
    Every part has to make the same calls in the same order.
    """

    generator: torch.Generator
    part: int = 0
    parts: int = 1

    def normal(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Standard normal numbers of ``shape`` (n, …), on the CPU."""
        return self._own(torch.randn(self.parts * shape[0], *shape[1:], generator=self.generator), shape[0])

    def uniform(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Uniform numbers in [low, high) of ``shape`` (n, …), on the CPU."""
        drawn = torch.rand(self.parts * shape[0], *shape[1:], generator=self.generator)
        return low + (high - low) * self._own(drawn, shape[0])

    def own_seed(self) -> int:
        """A seed that differs from part to part."""
        return int(torch.randint(2**62, (self.parts,), generator=self.generator)[self.part])

    def _own(self, drawn: torch.Tensor, rows: int) -> torch.Tensor:
        return drawn[self.part * rows : (self.part + 1) * rows]
