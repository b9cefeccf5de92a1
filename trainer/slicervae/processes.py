"""The processes of one training run under ``torchrun``; a single process where there is no process group."""

import torch
from torch import distributed


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
