"""Passes through a network some of whose weights are held fixed, or that leave no trace in its running statistics.

An encoder that judges generated images, or a decoder that answers for an encoder alone, takes part in a loss without
being trained by it. Batch norm has to be told apart, too: generated images are normalised by the statistics of their
own batch, but the running statistics, which validation and every later use go by, are those of real images and their
reconstructions alone.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from SlicerVAELib.core.encoding import DiagonalGaussian, Encoding
from SlicerVAELib.core.networks import Network

Replaced = Mapping[str, torch.Tensor]


def frozen(network: Network, part: str) -> dict[str, torch.Tensor]:
    """The weights of the network's ``part``, "encoder" or "decoder", as constants: no gradient reaches them."""
    return {name: weight.detach() for name, weight in network.named_parameters() if name.startswith(f"{part}.")}


def unrecorded(network: Network) -> dict[str, torch.Tensor]:
    """Copies of the network's running statistics, to be spoiled in its place."""
    return {name: buffer.clone() for name, buffer in network.named_buffers()}


def encode_with(network: Network, images: torch.Tensor, replaced: Replaced) -> Encoding:
    """``network.encode(images)`` with some weights or running statistics replaced by name."""
    encoding: Encoding = _call(network, "encode", images, replaced)
    return encoding


def decode_with(network: Network, latents: torch.Tensor, replaced: Replaced) -> torch.Tensor:
    """``network.decode(latents)`` with some weights or running statistics replaced by name."""
    images: torch.Tensor = _call(network, "decode", latents, replaced)
    return images


def reason_against_network(network: Network, kind: str) -> str:
    """Why an objective of single posteriors and of squared errors can't train that network; empty when it can."""
    if network.structure_channels:
        return f"the objective '{kind}' needs a network without structures"
    was_training = network.training
    with torch.inference_mode():
        encoding = network.eval().encode(torch.zeros(1, *network.image_shape))
    network.train(was_training)
    if not isinstance(encoding, DiagonalGaussian):
        return f"the objective '{kind}' needs a network with Gaussian latents on one level"
    return ""


class _Method(nn.Module):
    """One method of a network as a module's forward, which is all that ``functional_call`` calls."""

    def __init__(self, network: Network, name: str) -> None:
        super().__init__()
        self.network = network
        self._name = name

    def forward(self, inputs: torch.Tensor) -> Any:
        return getattr(self.network, self._name)(inputs)


def _call(network: Network, method: str, inputs: torch.Tensor, replaced: Replaced) -> Any:
    renamed = {f"network.{name}": tensor for name, tensor in replaced.items()}
    return torch.func.functional_call(_Method(network, method), renamed, (inputs,))
