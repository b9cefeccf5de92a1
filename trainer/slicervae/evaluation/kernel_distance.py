"""The kernel distance of two sets of features (Bińkowski et al., 2018): unbiased for few images, unlike Fréchet's."""

import torch


def kernel_distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy between features (N, D) and (M, D), N, M ≥ 2.

    The kernel is k(x, y) = (x·y / D + 1)³. All pairs are taken, rather than a mean over subsets. The estimate may be
    a little below zero when the two are alike.
    """
    first, second = first.double(), second.double()
    within = _mean_of_other_pairs(_kernel(first, first)) + _mean_of_other_pairs(_kernel(second, second))
    return float(within - 2 * _kernel(first, second).mean())


def _kernel(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first @ second.T / first.shape[1] + 1) ** 3


def _mean_of_other_pairs(kernel: torch.Tensor) -> torch.Tensor:
    """Mean of a square kernel matrix without its diagonal."""
    count = len(kernel)
    return (kernel.sum() - kernel.trace()) / (count * (count - 1))
