"""Maps from the reconstruction alone: how the image differs from what the model made of it."""

import torch

from .method import Evidence, Method, Model, in_standard_deviations
from .postprocessing import smooth

SIGMAS = "σ of the model (uncalibrated)"
WINDOW_SIGMA = 1.5  # pixels; with the radius of three sigmas, the window of 11 pixels of Wang et al.
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # their C₁ and C₂ for images in [0, 1]


class SignedResidual(Method):
    """(x − x̂) / σ: above zero where the image is brighter than the model expects."""

    unit = SIGMAS
    is_signed = True

    def maps(self, evidence: Evidence, model: Model) -> torch.Tensor:  # noqa: ARG002 - it asks no more
        """Maps (N, C, H, W) in σ."""
        return in_standard_deviations(evidence.images - evidence.reconstructions, evidence.noise_variance)


class AbsoluteResidual(Method):
    """|x − x̂| / σ: the square root of twice the Gaussian negative log-likelihood's data term, pixel by pixel."""

    unit = SIGMAS

    def maps(self, evidence: Evidence, model: Model) -> torch.Tensor:  # noqa: ARG002
        """Maps (N, C, H, W) in σ."""
        return in_standard_deviations((evidence.images - evidence.reconstructions).abs_(), evidence.noise_variance)


class StructuralResidual(Method):
    """1 − SSIM(x, x̂) about every pixel (Wang, Bovik, Sheikh and Simoncelli 2004), in [0, 2].

    The window is Gaussian, σ = 1.5 pixels over 11 × 11. It marks changed texture and edges that a difference in
    brightness does not show.
    """

    unit = "1 − SSIM (uncalibrated)"

    def maps(self, evidence: Evidence, model: Model) -> torch.Tensor:  # noqa: ARG002
        """Maps (N, C, H, W)."""
        x, y = evidence.images, evidence.reconstructions
        mean_x, mean_y = smooth(x, WINDOW_SIGMA), smooth(y, WINDOW_SIGMA)
        variance_x = smooth(x * x, WINDOW_SIGMA) - mean_x * mean_x
        variance_y = smooth(y * y, WINDOW_SIGMA) - mean_y * mean_y
        covariance = smooth(x * y, WINDOW_SIGMA) - mean_x * mean_y
        means = (2 * mean_x * mean_y + LUMINANCE) / (mean_x * mean_x + mean_y * mean_y + LUMINANCE)
        spreads = (2 * covariance + CONTRAST) / (variance_x + variance_y + CONTRAST)
        return (1 - means * spreads).clamp_(0, 2)
