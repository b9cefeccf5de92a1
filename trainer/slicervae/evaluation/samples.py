"""How good samples are: drawn as the engine draws them for anybody, held against real images."""

import dataclasses
import math
from pathlib import Path

import torch

from SlicerVAELib.core.engine import Engine, Hardware, SynthesizeRequest
from SlicerVAELib.core.manifest import Manifest
from SlicerVAELib.core.progress import Cancel, Listener

from .frechet import frechet_distance, moments_of
from .kernel_distance import kernel_distance
from .manifold_metrics import manifold_metrics

FEWEST = 2  # of either kind; a covariance needs as many


@dataclasses.dataclass(frozen=True)
class Draws:
    """Which samples are judged; ``prior`` as in ``SynthesizeRequest``."""

    count: int = 1000
    seed: int = 0
    prior: str = "auto"


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """Synthetic slices (N, H, W) in [0, 1], and the prior that they were drawn from, in words."""

    pictures: torch.Tensor
    prior: str


@dataclasses.dataclass(frozen=True)
class SampleQuality:
    """``samples`` slices against ``images`` real ones: Fréchet and kernel distance of their features (the smaller the
    better), precision, recall, density and coverage (the larger the better)."""

    samples: int
    images: int
    frechet: float
    kernel: float
    precision: float
    recall: float
    density: float
    coverage: float


def draw(
    engine: Engine,
    bundle: Path,
    manifest: Manifest,
    draws: Draws,
    hardware: Hardware,
    listener: Listener,
    cancel: Cancel,
) -> Drawn:
    """Draw synthetic slices, at least as many as asked for where the model draws cubes."""
    depth = manifest.preprocessing.size if manifest.preprocessing.dimensions == 3 else 1
    count = math.ceil(draws.count / depth)
    request = SynthesizeRequest(bundle, count, draws.seed, hardware=hardware, prior=draws.prior)
    synthesis = engine.synthesize(request, listener, cancel)
    low, high = synthesis.window
    pictures = torch.from_numpy(synthesis.images).sub_(low).div_(high - low).clamp_(0, 1)
    return Drawn(pictures, synthesis.provenance.parameters["prior"])


def sample_quality(real: torch.Tensor, samples: torch.Tensor) -> SampleQuality:
    """The figures of features (N, D) of real images and (M, D) of samples, N, M ≥ 2."""
    manifold = manifold_metrics(real, samples)
    return SampleQuality(
        samples=len(samples),
        images=len(real),
        frechet=frechet_distance(moments_of(real), moments_of(samples)),
        kernel=kernel_distance(real, samples),
        **dataclasses.asdict(manifold),
    )
