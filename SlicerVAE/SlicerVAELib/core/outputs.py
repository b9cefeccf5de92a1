"""What a model made of a volume, as named arrays on the volume's own grid."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch

from .errors import UserError, nearest
from .preprocessing import Preprocessing
from .progress import Cancel
from .stack import Stack

OUTPUTS = ("reconstruction", "residual", "anomaly", "structures")
NOT_SEEN_RESIDUAL, NOT_SEEN_STRUCTURE = 0.0, 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class Output:
    """``pixels`` (N, H, W) in the model's space, in their final unit, and what stands where the model saw nothing, or
    where ``looked_at`` (K, J, I), on the input's grid, is False."""

    name: str
    pixels: torch.Tensor
    fill: float
    looked_at: np.ndarray | None = None


def check_outputs(wanted: Collection[str]) -> None:
    """Raise UserError for an output that does not exist."""
    for name in wanted:
        if name not in OUTPUTS:
            raise UserError(f"There is no output '{name}'; {nearest(name, OUTPUTS)}")


def channel_output(kind: str, index: int, preprocessing: Preprocessing) -> str:
    """Name of the "reconstruction" or "residual" of an image channel: the kind alone for the volume itself."""
    return f"{kind} {preprocessing.channels[index]}" if index else kind


def outputs_of(
    wanted: Collection[str],
    stack: Stack,
    reconstructions: torch.Tensor,
    anomaly: Sequence[Output],
    preprocessing: Preprocessing,
) -> Iterator[Output]:
    """The wanted outputs of ``reconstructions`` (N, C, H, W) in [0, 1], which are used up; ``anomaly`` are the finished
    maps.

    Images come in the input's units, each channel in those of its own image; structures as probabilities.
    """
    windows = list(enumerate(stack.windows))
    if "residual" in wanted:
        for index, (low, high) in windows:
            residual = (stack.pixels[:, index] - reconstructions[:, index]).mul_(high - low)
            yield Output(channel_output("residual", index, preprocessing), residual, NOT_SEEN_RESIDUAL)
    yield from anomaly
    if "structures" in wanted:
        for index, name in enumerate(preprocessing.structures, start=len(windows)):
            yield Output(f"structure {name}", reconstructions[:, index], NOT_SEEN_STRUCTURE)
    if "reconstruction" in wanted:
        for index, (low, high) in windows:
            image = reconstructions[:, index].mul_(high - low).add_(low)
            yield Output(channel_output("reconstruction", index, preprocessing), image, low)


def on_input_grid(stack: Stack, outputs: Iterator[Output], cancel: Cancel) -> dict[str, np.ndarray]:
    """The outputs as float32 arrays (K, J, I), and "field_of_view" as uint8."""
    arrays = {}
    for output in outputs:
        cancel.check()
        array = stack.to_source(output.pixels, fill=output.fill)
        if output.looked_at is not None:
            array[~output.looked_at] = output.fill
        arrays[output.name] = array
    arrays["field_of_view"] = stack.seen().astype(np.uint8)
    return arrays
