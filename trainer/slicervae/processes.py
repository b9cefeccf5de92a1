"""The processes of one training run under ``torchrun``; a single process where there is no process group."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import distributed

from SlicerVAELib.core.errors import Cancelled, UserError

Result = TypeVar("Result")


def process_count() -> int:
    """Processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def process_rank() -> int:
    """This process's number among them, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def summed(value: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over the processes, without a gradient."""
    value = value.detach().clone()
    if process_count() > 1:
        distributed.all_reduce(value)
    return value


def averaged(value: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over the processes, without a gradient."""
    return summed(value) / process_count()


def copied_from_first(value: torch.Tensor) -> None:
    """Make the tensor, in place, what it is in the first process."""
    if process_count() > 1:
        distributed.broadcast(value, src=0)


def gathered(rows: torch.Tensor) -> torch.Tensor:
    """The rows (n, …) of all processes, one process after the other; n is the same in each. Without a gradient."""
    if process_count() == 1:
        return rows.detach()
    parts = [torch.empty_like(rows) for _ in range(process_count())]
    distributed.all_gather(parts, rows.detach().contiguous())
    return torch.cat(parts)


def leave() -> None:
    """Part from the other processes, as each has to before it ends: threads that still talk to them abort it."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def from_first(work: Callable[[], Result]) -> Result:
    """What ``work`` returns in the first process, in all of them; it runs only there, while the others wait.

    Raises its UserError or Cancelled in the first process and SystemExit in the others, so that one sentence is read.
    """
    if process_count() == 1:
        return work()
    box: list[Any] = [None, False]
    failure: Exception | None = None
    if process_rank() == 0:
        try:
            box = [work(), True]
        except (UserError, Cancelled) as error:
            failure = error
    distributed.broadcast_object_list(box, src=0)
    if failure is not None:
        raise failure
    if not box[1]:
        raise SystemExit(1)
    return box[0]
