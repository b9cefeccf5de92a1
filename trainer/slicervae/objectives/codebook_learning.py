"""How a codebook follows the encoder's vectors: k-means start, moving average, restart of dead codes.

All of it depends on the batch and on ``Moment.draws`` alone and is summed over processes, so that every process keeps
the same codebook and a resumed run goes on as it would have.
"""

import dataclasses
from typing import Literal

import torch
from torch import nn

from SlicerVAELib.core.encoding import Codes
from SlicerVAELib.core.networks.codebook import Codebook, rows_of

from ..draws import Draws
from ..processes import gathered, process_rank, summed

SMOOTHING = 1e-5
USAGE_WINDOW = 100  # steps, about what a moving average of 0.99 remembers
KMEANS_ROUNDS = 10
KMEANS_ROWS_PER_CODE = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodebookSettings:
    """How the codebook is learned.

    ``codebook`` "average" sets each code to the moving average, of factor ``codebook_average``, of the vectors that it
    stands for (van den Oord et al., appendix A.1); "loss" draws it to them by the gradient of ‖sg[z] − e‖², as source
    000 does (eq. 4.12). A code that no vector chose in ``restart_after`` steps is dead and begins anew at one of the
    batch's vectors (0: never); a step of fewer vectors than there are codes counts as the fraction that they are. While
    the encoder is young the scale of its vectors grows within some tens of steps, and a moving average that waits for
    its own memory to fade leaves most codes behind.
    """

    codebook: Literal["average", "loss"] = "average"
    codebook_average: float = dataclasses.field(default=0.99, metadata={"min": 0.0, "max": 0.99999})
    restart_after: int = dataclasses.field(default=10, metadata={"min": 0, "max": 1_000_000})


class CodebookLearning(nn.Module):
    """What is known of the use of one codebook of K vectors of D numbers; its buffers go into checkpoints.

    ``counts`` (K,) and ``sums`` (K, D) are moving averages, per step, of how many vectors each code stands for and of
    their sum; ``unchosen_steps`` (K,) counts the steps since each code was last chosen, ``idle_steps`` (K,) those since
    it was last chosen or began anew, as ``CodebookSettings`` counts them.
    """

    started: torch.Tensor
    counts: torch.Tensor
    sums: torch.Tensor
    unchosen_steps: torch.Tensor
    idle_steps: torch.Tensor

    def __init__(self, codebook: Codebook, settings: CodebookSettings) -> None:
        super().__init__()
        self.settings = settings
        size, dimension = codebook.size, codebook.dimension
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("sums", torch.zeros(size, dimension))
        self.register_buffer("unchosen_steps", torch.full((size,), USAGE_WINDOW))
        self.register_buffer("idle_steps", torch.zeros(size))
        # Between a forward pass and the step's end, one of each part of the batch; no buffers, because every process
        # has its own.
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._spare: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._starts_in_this_step = False

    @torch.no_grad()
    def start(self, codebook: Codebook, continuous: torch.Tensor, draws: Draws) -> None:
        """Begin at the k-means clusters of an encoder's vectors (N, D, *grid), of which some at random take part.

        Of a batch in parts these are those of each process's first part, with which the rest is to be quantised; the
        parts that follow tell ``follow_start`` of theirs.
        """
        rows = rows_of(continuous.float())
        keys, picked = _random_rows(rows, KMEANS_ROWS_PER_CODE * codebook.size, draws)
        sample = _first_of_all(keys, picked, KMEANS_ROWS_PER_CODE * codebook.size)
        codebook.vectors.copy_(sample[torch.arange(codebook.size, device=rows.device) % len(sample)])
        for _ in range(KMEANS_ROUNDS):
            counts, sums = _statistics(sample, codebook.nearest(sample), codebook.size)
            codebook.vectors.copy_(torch.where(counts[:, None] > 0, sums / counts[:, None], codebook.vectors))
        # Processes on unlike machines round differently; from here on all follow the first.
        codebook.vectors.copy_(summed(codebook.vectors if process_rank() == 0 else codebook.vectors * 0))
        counts, sums = _statistics(rows, codebook.nearest(rows), codebook.size)
        # As if the averages had begun at zero: their quotient then weighs the first steps alike, instead of the very
        # first as much as a hundred later ones.
        self.counts.copy_(summed(counts) * self._weight)
        self.sums.copy_(summed(sums) * self._weight)
        self.started.fill_(True)
        self._starts_in_this_step = True

    def follow_start(self, vectors: int, draws: Draws) -> None:
        """Draw for a part's ``vectors`` what ``start`` drew for the first part's, if that was in this step.

        Parts that drew less would see other numbers afterwards than the first.
        """
        if self._starts_in_this_step:
            draws.uniform((vectors,))

    @torch.no_grad()
    def observe(self, codes: Codes, draws: Draws) -> None:
        """Take note of one part of a batch."""
        rows, size = rows_of(codes.continuous.detach()), len(self.counts)
        self._seen.append(_statistics(rows, codes.indices.flatten(), size))
        distance = rows_of((codes.continuous - codes.quantised).detach()).norm(dim=1)
        self._spare.append(_random_rows(rows, size, draws, distance))

    @torch.no_grad()
    def update(self, codebook: Codebook) -> None:
        """Follow what was observed since the last update.

        With n_k vectors of code k in the batch: N_k ← γN_k + (1 − γ)n_k, m_k ← γm_k + (1 − γ)Σz, e_k = m_k / N_k, the
        counts smoothed by Laplace's rule for the division.
        """
        counts = summed(torch.stack([counts for counts, _ in self._seen]).sum(dim=0))
        sums = summed(torch.stack([sums for _, sums in self._seen]).sum(dim=0))
        self.counts.lerp_(counts, self._weight)
        self.sums.lerp_(sums, self._weight)
        self.unchosen_steps.add_(1).masked_fill_(counts > 0, 0)
        self.idle_steps.add_(counts.mean().clamp_max(1)).masked_fill_(counts > 0, 0)
        if self.settings.codebook == "average":
            total = self.counts.sum()
            smoothed = (self.counts + SMOOTHING) / (total + len(self.counts) * SMOOTHING) * total
            codebook.vectors.copy_(self.sums / smoothed[:, None])
        if self.settings.restart_after:
            self._restart_dead(codebook, counts.mean())
        self._seen, self._spare, self._starts_in_this_step = [], [], False

    def _restart_dead(self, codebook: Codebook, mean_use: torch.Tensor) -> None:
        keys, rows = (torch.cat(parts) for parts in zip(*self._spare, strict=True))
        spare = _first_of_all(keys, rows, codebook.size)
        dead = (self.idle_steps >= self.settings.restart_after).nonzero()[: len(spare), 0]
        spare = spare[: len(dead)]
        codebook.vectors[dead] = spare
        # As if chosen once by as many vectors as the mean code: what chooses it from now on soon outweighs that.
        self.counts[dead] = self._weight * mean_use
        self.sums[dead] = self._weight * mean_use * spare
        self.idle_steps[dead] = 0

    @property
    def _weight(self) -> float:
        return 1 - self.settings.codebook_average

    def figures(self) -> dict[str, torch.Tensor]:
        """Perplexity of the moving average of the codes' use, and share of them chosen in the last 100 steps."""
        return {
            "perplexity": perplexity(self.counts),
            "usage": (self.unchosen_steps < USAGE_WINDOW).float().mean(),
        }


def perplexity(counts: torch.Tensor) -> torch.Tensor:
    """exp(−Σ p ln p) of the shares p of some counts (K,): how many equally frequent codes would be as varied."""
    shares = counts / counts.sum().clamp_min(torch.finfo(counts.dtype).tiny)
    return torch.exp(torch.special.entr(shares).sum())


def _statistics(rows: torch.Tensor, indices: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """How many rows (M, D) have each of ``size`` codes, (K,), and their sums, (K, D)."""
    counts = rows.new_zeros(size).index_add_(0, indices, torch.ones_like(rows[:, 0]))
    return counts, rows.new_zeros(size, rows.shape[1]).index_add_(0, indices, rows)


def _random_rows(
    rows: torch.Tensor, most: int, draws: Draws, weights: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """At most ``most`` of the rows (M, D) in random order, and the random keys that they are ordered by.

    ``weights`` (M,) make a row so much likelier to come early: a code that begins anew should go where the others are
    far, and not to one more patch of background. (The distance itself spreads the codes wider over the data than its
    square, which k-means++ takes and which favours outliers that no other patient has.)
    """
    # The smallest of exponential times of rates w falls on a row with a probability in proportion to w.
    times = -torch.log1p(-draws.uniform((len(rows),)).to(rows.device))
    keys, order = (times if weights is None else times / weights).sort(stable=True)
    return keys[:most], rows[order[:most]]


def _first_of_all(keys: torch.Tensor, rows: torch.Tensor, most: int) -> torch.Tensor:
    """The rows of the ``most`` smallest keys over all processes: what one process with the whole batch would pick."""
    order = gathered(keys).sort(stable=True).indices[:most]
    return gathered(rows)[order]
