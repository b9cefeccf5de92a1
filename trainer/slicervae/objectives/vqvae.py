"""The VQ-VAE's objective: reconstruction and commitment, with a codebook that follows the encoder."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from torch import nn

from SlicerVAELib.core.encoding import CodeLevels, Codes, Encoding
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.networks.codebook import CodeNetwork

from ..data.batch import Batch
from ..processes import summed
from .base import Moment, Objective, Terms, squared_error
from .codebook_learning import CodebookLearning, CodebookSettings, perplexity
from .likelihood import LikelihoodSettings, judged_likelihood, negative_log_likelihood


@dataclasses.dataclass(frozen=True, kw_only=True)
class VQVAESettings(LikelihoodSettings, CodebookSettings):
    """``commitment`` is β, the weight of the encoder's squared distance from the codes."""

    kind: Literal["vqvae"] = "vqvae"
    commitment: float = dataclasses.field(default=0.25, metadata={"min": 0.0, "max": 1e3})


class VQVAEObjective(Objective):
    """−ln p(x|e) + β·(P/J)·‖z − sg[e]‖², averaged over the batch; the decoder's gradient passes straight through.

    The reconstruction is a sum over an image's P values, in nats. The commitment of source 000 (eq. 4.12) has no such
    unit, and as a mere sum over the J numbers of the latents it would weigh 64 times as much for 32×32 codes as for
    4×4 codes of the same image. P/J makes both terms sums over as many numbers: divided by P, the loss is the mean
    negative log-likelihood of a value and β times the mean squared distance of a latent's number, whatever the image's
    size and the grid. β = 0.25 then means what it does in van den Oord et al., who divide the mean squared error by
    the data's variance as the likelihood does by σ².

    It works for any ``CodeNetwork``, with one codebook or several.
    """

    settings: VQVAESettings
    network: CodeNetwork

    def __init__(self, network: CodeNetwork, settings: VQVAESettings) -> None:
        super().__init__(network, settings)
        for codebook in network.codebooks:
            codebook.vectors.requires_grad_(settings.codebook == "loss")
        self.learning = nn.ModuleList(CodebookLearning(codebook, settings) for codebook in network.codebooks)
        self._tallies: list[list[torch.Tensor]] = [[] for _ in network.codebooks]

    @classmethod
    def reason_against(cls, network: Network, settings: VQVAESettings) -> str:  # noqa: ARG003
        """It needs a codebook."""
        return "" if isinstance(network, CodeNetwork) else "a VQ-VAE's objective needs a network with a codebook"

    def forward(self, batch: Batch, moment: Moment, phase: str = "all") -> Terms:  # noqa: ARG002 - only one
        """Terms of a batch; the first one, or its first part, also begins the codebooks."""
        self._start_codebooks(batch, moment)
        encoding = self.network.encode(batch.images)
        decoded = self.network.decode(encoding.mode)
        reconstruction, mse = negative_log_likelihood(batch, decoded, self.settings)
        commitment = encoding.divergence().mean()
        loss = reconstruction + self._commitment_weight * commitment
        if self.settings.codebook == "loss":
            distances = [
                (level.continuous.detach() - level.quantised).square().flatten(1).sum(dim=1).mean()
                for level in levels_of(encoding)
            ]
            loss = loss + self._per_number * torch.stack(distances).sum()
        for learning, level in zip(self._learning, levels_of(encoding), strict=True):
            learning.observe(level, moment.draws)
        parts = {"reconstruction": reconstruction, "commitment": commitment, "mse": mse}
        return Terms(loss, parts | _named([learning.figures() for learning in self._learning]))

    def after_step(self, moment: Moment) -> None:  # noqa: ARG002 - the batch's draws were taken in the forward pass
        """Let the codebooks follow what the step's batch has shown."""
        for learning, codebook in zip(self._learning, self.network.codebooks, strict=True):
            learning.update(codebook)

    def measure(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Squared error and commitment of each image; which codes were used is noted for ``summary``."""
        encoding = self.network.encode(batch.images)
        for codebook, tally, level in zip(self.network.codebooks, self._tallies, levels_of(encoding), strict=True):
            tally.append(torch.bincount(level.indices.flatten(), minlength=codebook.size))
        return {
            "mse": squared_error(batch, self.network.decode(encoding.mode)),
            "commitment": encoding.divergence(),
        }

    def judge(self, means: Mapping[str, float]) -> float:
        """The loss without that of the codebook."""
        likelihood = judged_likelihood(means["mse"], self._pixels, self.settings)
        return likelihood + self._commitment_weight * means["commitment"]

    def summary(self) -> dict[str, float]:
        """Perplexity of the codes of all images measured, and share of the codes that any of them used."""
        figures = []
        for codebook, tally in zip(self.network.codebooks, self._tallies, strict=True):
            none = codebook.vectors.detach().new_zeros(codebook.size, dtype=torch.double)
            counts = summed(torch.stack([none, *tally]).sum(dim=0))
            figures.append({"perplexity": perplexity(counts), "usage": (counts > 0).double().mean()})
            tally.clear()
        return {name: float(value) for name, value in _named(figures).items()}

    @property
    def _learning(self) -> list[CodebookLearning]:
        return cast("list[CodebookLearning]", list(self.learning))

    @property
    def _pixels(self) -> int:
        return torch.Size(self.network.image_shape).numel()

    @property
    def _per_number(self) -> float:
        return self._pixels / self.network.latent.size

    @property
    def _commitment_weight(self) -> float:
        return self.settings.commitment * self._per_number

    def _start_codebooks(self, batch: Batch, moment: Moment) -> None:
        for number, (learning, codebook) in enumerate(zip(self._learning, self.network.codebooks, strict=True)):
            if not learning.started:
                # Encoded anew for each: what a finer level sees may depend on the codes of the coarser ones.
                with torch.no_grad():
                    level = levels_of(self.network.encode(batch.images))[number]
                learning.start(codebook, level.continuous, moment.draws)
            else:
                learning.follow_start(len(batch) * math.prod(self.network.latent.grids[number]), moment.draws)


def levels_of(encoding: Encoding) -> tuple[Codes, ...]:
    """The codes of each codebook, the coarsest first."""
    if isinstance(encoding, CodeLevels):
        return encoding.levels
    assert isinstance(encoding, Codes)
    return (encoding,)


def _named(figures: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The figures of all codebooks; where there are several, their number from 1 is part of the name."""
    if len(figures) == 1:
        return dict(figures[0])
    return {f"{name}_{number}": value for number, own in enumerate(figures, 1) for name, value in own.items()}
