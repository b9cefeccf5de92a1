"""Maps of how probable each pixel is under the model: by draws from the posterior, or by a prior over its codes."""

import math

import torch

from ..encoding import CodeLevels, Codes
from ..latent import Latent
from ..networks import Network
from ..stack import slices_of
from ..synthesis import draw_noise
from .method import CodePrior, Evidence, Method, Model

DRAWS = 16
SEED = 0


class ReconstructionProbability(Method):
    """−ln (1/L) Σ_l exp(−(x − x̂_l)² / 2σ²), x̂_l decoded from draws of q(z|x): An and Cho, "Variational autoencoder
    based anomaly detection using reconstruction probability" (2015).

    That is −ln of their reconstruction probability E_q[p(x|z)], pixel by pixel, but for its constant ½ ln 2πσ²; zero
    where every draw hits the pixel. Of L = 16 seeded draws, the same for any batch size.
    """

    unit = "nats (uncalibrated)"
    passes = DRAWS

    def reason_against(self, latent: Latent, code_prior: CodePrior | None) -> str:  # noqa: ARG002
        """It needs a posterior to draw from."""
        return "" if latent.kind == "gaussian" else "has nothing to draw from: it encodes without a posterior"

    def maps(self, evidence: Evidence, model: Model) -> torch.Tensor:  # noqa: ARG002 - its draws take its place
        """Maps (N, C, H, W)."""

        def improbability(network: Network, images: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
            encoding = network.encode(images)
            total = None
            for epsilon in noise.unbind(dim=1):
                model.cancel.check()
                residual = (images - network.decode(encoding.draw(epsilon)))[:, : model.image_channels]
                exponent = residual.square() / (-2 * model.noise_variance)
                total = exponent if total is None else torch.logaddexp(total, exponent)
            assert total is not None
            return ((math.log(DRAWS) - total).clamp_(min=0),)

        count = len(model.inputs)
        noise = draw_noise(model.latent, count * DRAWS, seed=SEED).unflatten(0, (count, DRAWS))
        return slices_of(model.run(improbability, noise, meter=model.meter("drawing from the posterior")))


class CodeSurprise(Method):
    """−ln p(code | other codes) under the learned prior, spread over the pixels that a code stands for, in nats per
    code. It is one map of all channels: a code tells of all of them."""

    unit = "nats per code (uncalibrated)"
    passes = 3
    needs_code_prior = True

    def reason_against(self, latent: Latent, code_prior: CodePrior | None) -> str:
        """It needs codes, and a prior over them."""
        if latent.kind != "codes":
            return "has no codes; take another map"
        return "" if code_prior else "has no learned prior over its codes; fit one with 'slicervae fit-prior'"

    def maps(self, evidence: Evidence, model: Model) -> torch.Tensor:
        """Maps (N, 1, H, W), interpolated between the middles of the codes' squares."""
        prior = model.code_prior
        assert prior is not None

        def surprise(network: Network, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            prior.to(images.device)
            return (prior.surprise(*codes_of(network, images)),)

        nats = model.run(surprise, meter=model.meter("asking the prior over codes"))
        size = evidence.images.shape[-2:]
        return torch.nn.functional.interpolate(nats[:, None], size, mode="bilinear", align_corners=False)


def codes_of(network: Network, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The codes (N, *grid) of every level of images, the coarsest first."""
    encoding = network.encode(images)
    if isinstance(encoding, CodeLevels):
        return tuple(level.indices for level in encoding.levels)
    assert isinstance(encoding, Codes)
    return (encoding.indices,)
