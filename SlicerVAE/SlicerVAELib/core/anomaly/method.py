"""What every anomaly map is: a method that turns what is known of some slices into a map of each image channel."""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar, Protocol

import torch

from ..latent import Latent
from ..placement import Placement
from ..progress import Cancel, Listener, Meter

Compute = Callable[..., tuple[torch.Tensor, ...]]


class CodePrior(Protocol):
    """A learned prior over the codes of an image, as ``core.code_prior.CodePrior`` is."""

    def to(self, device: torch.device) -> object:
        """Move to a device."""
        ...

    def surprise(self, indices: torch.Tensor, *finer: torch.Tensor) -> torch.Tensor:
        """−ln p of each code in nats, (N, H, W) on the finest grid, for the codes of every grid, the coarsest first."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What the model made of N slices: ``images`` and ``reconstructions`` (N, C, H, W) in [0, 1] and the decoder's σ².

    The channels are co-registered images; structures are not among them.
    """

    images: torch.Tensor
    reconstructions: torch.Tensor
    noise_variance: float


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """The model itself, for methods that ask it more than a reconstruction.

    ``inputs`` are the images as the network takes them, (n, C', H, W) or cubes (n, C', D, H, W), of whose channels the
    first ``image_channels`` are images and the others structures.
    """

    placement: Placement
    inputs: torch.Tensor
    image_channels: int
    noise_variance: float
    listener: Listener
    cancel: Cancel
    code_prior: CodePrior | None = None

    @property
    def latent(self) -> Latent:
        """What kind of latents it has."""
        return self.placement.network.latent

    def meter(self, stage: str, rounds: int = 1) -> Meter:
        """Progress of ``rounds`` over all images."""
        return Meter(self.listener, stage, rounds * len(self.inputs))

    def run(self, compute: Compute, *inputs: torch.Tensor, meter: Meter) -> torch.Tensor:
        """The result of ``compute(network, images, *inputs)``, which gives one, over all images, batch by batch."""
        (result,) = self.placement.run(compute, self.inputs, *inputs, meter=meter, cancel=self.cancel)
        return result


class Method(abc.ABC):
    """A kind of anomaly map. ``unit`` is that of its values, before any calibration; maps that are not ``is_signed``
    hold no negative value. ``passes`` is about how many passes through the network it takes beside the reconstruction.
    """

    unit: ClassVar[str]
    is_signed: ClassVar[bool] = False
    passes: ClassVar[int] = 0
    needs_code_prior: ClassVar[bool] = False

    def reason_against(self, latent: Latent, code_prior: CodePrior | None) -> str:  # noqa: ARG002 - most need neither
        """Why a model with these latents has no such map, as the end of a sentence; empty where it has."""
        return ""

    @abc.abstractmethod
    def maps(self, evidence: Evidence, model: Model) -> torch.Tensor:
        """The map of each image channel, (N, C, H, W), or a single one of all together, (N, 1, H, W), as new tensors.

        Anomalies lie above zero, or in signed maps away from it.
        """

    def fused(self, maps: torch.Tensor) -> torch.Tensor:
        """One map (N, H, W) of those of several channels (N, C, H, W), on the same scale: their root mean square, or
        of signed maps the one that deviates most, with its sign."""
        if maps.shape[1] == 1:
            return maps[:, 0]
        if self.is_signed:
            return maps.gather(1, maps.abs().argmax(dim=1, keepdim=True))[:, 0]
        return maps.square().mean(dim=1).sqrt()


def in_standard_deviations(residual: torch.Tensor, noise_variance: float) -> torch.Tensor:
    """A residual, which is used up, in units of the decoder's σ."""
    return residual.mul_(1 / math.sqrt(noise_variance))
