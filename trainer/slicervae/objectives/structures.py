"""An image and the structures drawn on it: rec(CT) + β·KL + the loss of the structures (source 002, section 6.1.1)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch
from torch.nn import functional

from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.networks.structured import StructureNetwork

from ..data.batch import Batch
from ..processes import summed
from .base import Moment, Objective, Terms, squared_error, unrounded
from .likelihood import LikelihoodSettings, judged_likelihood, negative_log_likelihood
from .vae import KLSettings, kl_weight, penalised_kl

StructureLoss = Literal["dice-and-log-weighted", "weighted-cross-entropy", "cross-entropy"]
MEMORY = 0.99  # of the shares of the classes, from batch to batch
ONE_PIXEL = 1.0  # above and below in Dice: a class that is nowhere scores 1 where none of it is predicted, not 0 / 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class StructuresSettings(LikelihoodSettings, KLSettings):
    """``structure_weight`` weights the loss of the structures.

    With f_r the share of pixels in class r and P the pixels of an image, ``structure_loss`` is

    - "cross-entropy": H = −Σ q_r ln p_r over the pixels, as source 002 has it first;
    - "weighted-cross-entropy": the same with the weights 1 / ((R + 1) f_r), so that every class counts the same in
      all. The source names no weights; these are the usual ones, and as unbounded as what diverged there;
    - "dice-and-log-weighted": the same with the weights 1 − ln f_r, which stay between 1 and 1 + ln(pixels), plus
      P·(1 − mean Dice over the classes). A mean of 0…1 is brought to a sum over pixels, as the other terms are.

    No f_r is taken below one pixel of an image.
    """

    kind: Literal["structures"] = "structures"
    structure_loss: StructureLoss = "dice-and-log-weighted"
    structure_weight: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 1e6})


class StructuresObjective(Objective):
    """−E_q[ln p(CT|z)] + β·KL(q(z|x)‖N(0, σ_z² I)) + weight · the loss of the structures, averaged over the batch.

    ``shares`` are the shares of the classes, a running mean over steps: weights from one small batch would jump with
    whether it holds a rare class. A step's weights are those from before it, which every part of the batch and every
    process has alike. In the first step, which knows none, all classes count as equally frequent.
    """

    settings: StructuresSettings
    network: StructureNetwork
    shares: torch.Tensor

    def __init__(self, network: StructureNetwork, settings: StructuresSettings) -> None:
        super().__init__(network, settings)
        self.register_buffer("shares", torch.zeros(network.structure_channels))
        # Pixels of each class in the parts of a batch, until the step's end; no buffer, because every process has its
        # own.
        self._seen: list[torch.Tensor] = []

    @classmethod
    def reason_against(cls, network: Network, settings: StructuresSettings) -> str:  # noqa: ARG003
        """It needs Gaussian latents and structures."""
        if isinstance(network, StructureNetwork) and network.latent.kind == "gaussian":
            return ""
        return "the objective 'structures' needs a network of images and structures, such as conv_pool_structures"

    def forward(self, batch: Batch, moment: Moment, phase: str = "all") -> Terms:  # noqa: ARG002 - only one
        """Terms of a batch, with one draw from each posterior."""
        posterior = self.network.encode(batch.images)
        assert isinstance(posterior, DiagonalGaussian)
        latents = posterior.draw(moment.draws.normal(tuple(posterior.mean.shape)))
        images, logits = self.network.decode_apart(latents)
        channels = self.network.image_channels
        reconstruction, mse = negative_log_likelihood(batch, images, self.settings, channels)
        self._seen.append(self._pixels_of_classes(batch))
        structures, dice = self._structure_loss(batch, logits)
        loss = (
            reconstruction
            + kl_weight(self.settings, moment) * penalised_kl(posterior, self.settings)
            + self.settings.structure_weight * structures.mean()
        )
        parts = {"reconstruction": reconstruction, "kl": posterior.kl().mean(), "mse": mse}
        return Terms(loss, {**parts, "structures": structures.mean(), "dice": dice.mean()})

    def after_step(self, moment: Moment) -> None:  # noqa: ARG002
        """Move ``shares`` towards those of all parts of the step's batch in all processes; the first one sets them."""
        counts = summed(torch.stack(self._seen).sum(dim=0))
        self._seen = []
        total = counts.sum()
        weight = torch.where(self.shares.any(), 1 - MEMORY, 1.0) * (total > 0)
        self.shares.lerp_(counts / total.clamp_min(1), weight)

    def measure(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Squared error of the image and loss of the structures at the posterior mean, KL, and Dice, of each image."""
        encoding = self.network.encode(batch.images)
        images, logits = self.network.decode_apart(encoding.mode)
        structures, dice = self._structure_loss(batch, logits)
        mse = squared_error(batch, images, self.network.image_channels)
        return {"mse": mse, "kl": encoding.divergence(), "structures": structures, "dice": dice}

    def judge(self, means: Mapping[str, float]) -> float:
        """The loss with β at its full weight."""
        pixels = self.network.image_channels * self.network.image_size**self.network.dimensions
        reconstruction = judged_likelihood(means["mse"], pixels, self.settings)
        return reconstruction + self.settings.beta * means["kl"] + self.settings.structure_weight * means["structures"]

    def _pixels_of_classes(self, batch: Batch) -> torch.Tensor:
        """How many counted pixels of the batch each class has, (R + 1,)."""
        target = self._target(batch)
        return (target * _counted(batch, target)).transpose(0, 1).flatten(1).sum(dim=1)

    def _structure_loss(self, batch: Batch, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of the structures and the mean soft Dice over the classes, of each image, (N,) both."""
        target = self._target(batch)
        counted = _counted(batch, target)
        loss = cross_entropy(target, logits, self._weights(target.shape[2:].numel()), counted)
        dice = soft_dice(target, torch.softmax(logits, dim=1), counted)
        if self.settings.structure_loss == "dice-and-log-weighted":
            loss = loss + counted.flatten(1).sum(dim=1) * (1 - dice)
        return loss, dice

    def _weights(self, pixels: int) -> torch.Tensor:
        """Weights of the classes (R + 1,) in the cross-entropy."""
        shares = torch.where(self.shares.any(), self.shares, 1 / len(self.shares))
        # A class that an image can hold at all holds a pixel of it: this bounds every weight.
        shares = shares.clamp_min(1 / pixels)
        match self.settings.structure_loss:
            case "cross-entropy":
                return torch.ones_like(shares)
            case "weighted-cross-entropy":
                return 1 / (len(shares) * shares)
            case "dice-and-log-weighted":
                return 1 - shares.log()

    def _target(self, batch: Batch) -> torch.Tensor:
        return unrounded(batch.images[:, self.network.image_channels :])


def cross_entropy(
    target: torch.Tensor, logits: torch.Tensor, weights: torch.Tensor, counted: torch.Tensor
) -> torch.Tensor:
    """H = −Σ w_r q_r ln p_r summed over the pixels of each image, in nats, (N,).

    ``target`` q and ``logits`` of p = softmax(logits) are (N, R + 1, …), ``weights`` w (R + 1,), and ``counted``
    (N, 1, …) is 1 where a pixel counts. Source 002 prints p and q the other way round, which has no finite value for a
    target of zeros and ones.
    """
    weighted = target * weights.reshape(-1, *[1] * (target.ndim - 2)) * counted
    return -(weighted * functional.log_softmax(logits, dim=1)).flatten(1).sum(dim=1)


def soft_dice(target: torch.Tensor, probabilities: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """(2 Σ p q + 1) / (Σ p + Σ q + 1) over the pixels of each image, averaged over the classes, (N,).

    All are as in ``cross_entropy``. The one pixel above and below keeps a class that is nowhere from 0 / 0.
    """
    both = (target * probabilities * counted).flatten(2).sum(dim=2)
    either = ((target + probabilities) * counted).flatten(2).sum(dim=2)
    return ((2 * both + ONE_PIXEL) / (either + ONE_PIXEL)).mean(dim=1)


def _counted(batch: Batch, target: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(target[:, :1]) if batch.kept is None else unrounded(batch.kept)
