"""How unusual a slice is as a whole."""

import math

import torch

from .method import Evidence

UPPER_SHARE = 0.01  # of a slice's pixels lie above its map score
SMALLEST_LESION_CM3 = 0.5


def slice_scores(evidence: Evidence, divergence: torch.Tensor) -> torch.Tensor:
    """Negative evidence lower bound of each slice, in nats, (N,).

    −ELBO = Σ_pixels [½ ln(2πσ²) + (x − x̂)² / 2σ²] + KL, the expectation taken at the posterior mean; ``divergence``
    (N,) is KL, or what stands in its place: commitment for codes, 0 for a plain autoencoder.
    """
    squared = (evidence.images - evidence.reconstructions).square().flatten(1)
    constant = 0.5 * math.log(2 * math.pi * evidence.noise_variance) * squared.shape[1]
    return squared.sum(dim=1) / (2 * evidence.noise_variance) + constant + divergence


def map_scores(maps: torch.Tensor) -> torch.Tensor:
    """The 99th percentile of the absolute values of each map (N, H, W), (N,): the value that one pixel in a hundred
    reaches."""
    values = maps.abs().flatten(1)
    return values.kthvalue(values.shape[1] - math.floor(UPPER_SHARE * values.shape[1]), dim=1).values


def patient_score(z_scores: torch.Tensor, voxel_volume_cm3: float) -> float:
    """How unusual a patient is: the absolute z-score that half a cm³ of a calibrated map (N, H, W) reaches.

    That is the volume of a nodule of 10 mm; percentiles of a slice or of the patient would overlook it.
    """
    count = max(1, round(SMALLEST_LESION_CM3 / voxel_volume_cm3))
    return float(z_scores.abs().flatten().topk(min(count, z_scores.numel())).values[-1])
