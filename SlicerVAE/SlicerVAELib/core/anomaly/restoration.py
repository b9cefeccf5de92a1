"""The map of what a gradient ascent takes out of an image until the model finds it likely."""

import torch

from ..latent import Latent
from ..networks import Network
from ..stack import slices_of
from .gradients import differentiable, negative_bound
from .method import CodePrior, Evidence, Method, Model, in_standard_deviations
from .residuals import SIGMAS

STEPS = 150
STEP = 0.05  # of σ² times the gradient, so that rec alone would close a twentieth of the residual at each step
CHANGE_WEIGHT = 0.1  # λσ²: a region r pixels wide is let go of where its residual is above about 0.2 / r
SMOOTHNESS = 1e-3  # of the absolute value at its kink, in [0, 1]


class Restoration(Method):
    """|x − x*| / σ, where x* is reached by ascent on ELBO(x*) − λ·TV(x* − x) from x (Chen, You, Tezcan and Konukoglu,
    "Unsupervised lesion detection via image restoration with a normative prior", 2020).

    The total variation of the change keeps fine detail that the model can't draw, and lets go of whole regions that it
    finds unlikely; a reconstruction loses both. It takes 150 steps, some 450 passes.
    """

    unit = SIGMAS
    passes = 3 * STEPS

    def reason_against(self, latent: Latent, code_prior: CodePrior | None) -> str:  # noqa: ARG002
        """It needs a lower bound that depends smoothly on the image."""
        return "" if latent.kind == "gaussian" else "has no posterior, so it has no lower bound to ascend"

    def maps(self, evidence: Evidence, model: Model) -> torch.Tensor:
        """Maps (N, C, H, W) in σ."""

        def ascended(network: Network, images: torch.Tensor, restored: torch.Tensor) -> tuple[torch.Tensor, ...]:
            with differentiable():
                at = restored.clone().requires_grad_()
                bound = model.noise_variance * negative_bound(network, at, model).sum()
                change = total_variation((at - images.clone())[:, : model.image_channels])
                (gradient,) = torch.autograd.grad(bound + CHANGE_WEIGHT * change, at)
            gradient[:, model.image_channels :] = 0
            return ((restored - STEP * gradient).clamp(0, 1),)

        meter = model.meter("restoring", STEPS)
        restored = model.inputs
        for _ in range(STEPS):
            restored = model.run(ascended, restored, meter=meter)
        pictures = slices_of(restored)[:, : model.image_channels]
        return in_standard_deviations((evidence.images - pictures).abs_(), model.noise_variance)


def total_variation(images: torch.Tensor) -> torch.Tensor:
    """Σ √(∂₁² + ∂₂² + …+ ε²) − ε over the pixels of (n, C, *sides), isotropic, with forward differences."""
    squares = torch.zeros_like(images)
    for axis in range(2, images.dim()):
        steps = images.diff(dim=axis)
        edge = torch.zeros_like(images.narrow(axis, 0, 1))
        squares = squares + torch.cat([steps, edge], dim=axis).square()
    return ((squares + SMOOTHNESS**2).sqrt() - SMOOTHNESS).sum()
