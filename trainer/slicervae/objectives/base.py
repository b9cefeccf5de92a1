"""What training minimises, as the training loop sees it: terms of a batch, parameters by phase, a validation loss."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from SlicerVAELib.core.networks import Network

from ..data.batch import Batch
from ..draws import Draws


@dataclasses.dataclass(eq=False)  # not frozen: Fabric rebuilds what is handed to a module
class Moment:
    """Where training stands: ``step`` of ``total`` steps, from 0, ``epoch`` as a fraction; and its random numbers."""

    step: int
    total: int
    epoch: float
    draws: Draws


@dataclasses.dataclass(eq=False)  # not frozen: Fabric rebuilds what a forward pass returns
class Terms:
    """``loss`` to minimise, and its named ``parts`` for the log, scalars all.

    "mse" is always among the parts: the mean squared error per pixel. Those that are sums over an image are in nats.
    """

    loss: torch.Tensor
    parts: dict[str, torch.Tensor]


class Objective(nn.Module, abc.ABC):
    """What is minimised for one kind of network.

    Each of the ``phases`` has an optimiser of its own over ``parameters_of(phase)``; which of them step together,
    ``passes`` tells. Buffers of the objective are kept in checkpoints beside the network's weights.
    """

    phases: ClassVar[tuple[str, ...]] = ("all",)

    def __init__(self, network: Network, settings: Any) -> None:
        super().__init__()
        self.network = network
        self.settings = settings

    @classmethod
    def reason_against(cls, network: Network, settings: Any) -> str:  # noqa: ARG003 - for those that need them
        """Why this objective can't train that network, as the end of a sentence; empty when it can."""
        return ""

    def parameters_of(self, phase: str) -> Sequence[nn.Parameter]:  # noqa: ARG002 - one phase trains all
        """The parameters that the phase's optimiser changes."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def passes(self, epoch: float) -> Mapping[str, Sequence[str]]:  # noqa: ARG002 - the same all the time
        """The forward and backward passes of a step: what ``forward`` is told of each, and the phases whose optimisers
        step after it."""
        return {phase: (phase,) for phase in self.phases}

    @abc.abstractmethod
    def forward(self, batch: Batch, moment: Moment, phase: str = "all") -> Terms:
        """Terms of a training batch in one of the ``passes``."""

    def after_step(self, moment: Moment) -> None:
        """Whatever has to follow the optimisers' steps outside of gradients."""

    @abc.abstractmethod
    def measure(self, batch: Batch) -> dict[str, torch.Tensor]:
        """What the validation loss is made of: values of each image (N,), without randomness; "mse" is among them."""

    @abc.abstractmethod
    def judge(self, means: Mapping[str, float]) -> float:
        """The validation loss from the means of ``measure`` over all validation images."""

    def summary(self) -> dict[str, float]:
        """Further figures for the log, of all images measured since the last call by all processes, that are no means
        over images."""
        return {}


def unrounded(values: torch.Tensor) -> torch.Tensor:
    """The values in float32 at least: half precision can't hold a sum over an image's pixels."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def squared_error(batch: Batch, reconstructions: torch.Tensor, channels: int | None = None) -> torch.Tensor:
    """Mean squared error of each image over the pixels that count, (N,); of the first ``channels`` where given.

    It is float32 where the images or their reconstructions have half precision.
    """
    squared = (unrounded(batch.images[:, :channels]) - unrounded(reconstructions[:, :channels])).square()
    if batch.kept is None:
        return squared.flatten(1).mean(dim=1)
    weights = unrounded(batch.kept).expand_as(squared).flatten(1)
    return (squared.flatten(1) * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)


def pixels_counted(batch: Batch, channels: int | None = None) -> torch.Tensor:
    """Number of values of each image that count in the loss, (N,), in float32 at least."""
    values = batch.images[:, :channels]
    if batch.kept is None:
        return unrounded(values.new_empty(len(values))).fill_(values.shape[1:].numel())
    return unrounded(batch.kept).flatten(1).sum(dim=1) * values.shape[1]
