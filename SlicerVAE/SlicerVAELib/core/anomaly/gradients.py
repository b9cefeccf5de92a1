"""Maps of the lower bound's gradient: which pixels would have to change for the model to find the image more likely.

After Zimmerer, Isensee, Petersen, Kohl and Maier-Hein, "Unsupervised anomaly localization using variational
auto-encoders" (2019). −ELBO = rec + KL of every image, with rec = Σ (x − x̂)² / 2σ² at the posterior's mean, which
depends on x twice. Pixels are in [0, 1], so that a derivative is in nats per width of the intensity window.
"""

import abc
import contextlib
from collections.abc import Iterator

import torch

from ..encoding import Encoding
from ..latent import Latent
from ..networks import Network
from ..stack import slices_of
from .method import CodePrior, Evidence, Method, Model
from .postprocessing import smooth
from .residuals import AbsoluteResidual

NATS = "nats per intensity window (uncalibrated)"
CHECKERBOARD = 2.0  # pixels: strided convolutions leave a pattern of this period in gradients


class _GradientMap(Method):
    """|∂f/∂x| of a term f of the lower bound."""

    unit = NATS
    passes = 3

    def maps(self, evidence: Evidence, model: Model) -> torch.Tensor:  # noqa: ARG002 - the pass is made anew
        """Maps (N, C, H, W)."""

        def absolute(network: Network, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            with differentiable():
                wanted = images.clone().requires_grad_()
                term = self.term(network, wanted, model).sum()
                (gradient,) = torch.autograd.grad(term, wanted)
            return (gradient[:, : model.image_channels].abs(),)

        return slices_of(model.run(absolute, meter=model.meter("gradients")))

    @abc.abstractmethod
    def term(self, network: Network, images: torch.Tensor, model: Model) -> torch.Tensor:
        """f of each of the network's images, (n,)."""


class ReconstructionGradient(_GradientMap):
    """|∂rec/∂x|. Of codes, whose choice has no derivative, it passes straight through them to the encoder."""

    def term(self, network: Network, images: torch.Tensor, model: Model) -> torch.Tensor:
        """The reconstruction term."""
        return reconstruction_term(network, network.encode(images), images, model)


class _NeedsPosterior(_GradientMap):
    def reason_against(self, latent: Latent, code_prior: CodePrior | None) -> str:  # noqa: ARG002
        """It needs a KL divergence that depends on the image."""
        if latent.kind == "gaussian":
            return ""
        has = "codes" if latent.kind == "codes" else "plain latents"
        return f"has {has} without a posterior, whose KL divergence the map differentiates; take 'gradient-rec'"


class DivergenceGradient(_NeedsPosterior):
    """|∂KL/∂x|: what makes the posterior unlike the prior."""

    def term(self, network: Network, images: torch.Tensor, model: Model) -> torch.Tensor:  # noqa: ARG002
        """The divergence."""
        return network.encode(images).divergence()


class BoundGradient(_NeedsPosterior):
    """|∂ELBO/∂x|."""

    def term(self, network: Network, images: torch.Tensor, model: Model) -> torch.Tensor:
        """The negative lower bound but for its constant."""
        return negative_bound(network, images, model)


class Combined(DivergenceGradient):
    """|∂KL/∂x|, smoothed against its checkerboard, × |x − x̂| / σ (Zimmerer et al., "combi")."""

    unit = "σ × nats per intensity window (uncalibrated)"

    def maps(self, evidence: Evidence, model: Model) -> torch.Tensor:
        """Maps (N, C, H, W)."""
        gradient = smooth(super().maps(evidence, model), CHECKERBOARD)
        return gradient.mul_(AbsoluteResidual().maps(evidence, model))


def negative_bound(network: Network, images: torch.Tensor, model: Model) -> torch.Tensor:
    """rec + KL of each of the network's images, (n,), in nats."""
    encoding = network.encode(images)
    return reconstruction_term(network, encoding, images, model) + encoding.divergence()


def reconstruction_term(network: Network, encoding: Encoding, images: torch.Tensor, model: Model) -> torch.Tensor:
    """Σ (x − x̂)² / 2σ² over the image channels, (n,), x̂ being decoded from the encoding's mode."""
    residual = (images - network.decode(encoding.mode))[:, : model.image_channels]
    return residual.square().flatten(1).sum(dim=1) / (2 * model.noise_variance)


@contextlib.contextmanager
def differentiable() -> Iterator[None]:
    """Derivatives are recorded inside, although the engine's passes record none."""
    with torch.inference_mode(False), torch.enable_grad():
        yield
