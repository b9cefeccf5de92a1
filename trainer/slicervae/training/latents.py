"""All slices of some patients, encoded once: what priors are fitted to and latents are described by."""

import dataclasses
from collections.abc import Mapping

import torch

from SlicerVAELib.core.encoding import CodeLevels, Codes, DiagonalGaussian, Encoding, HierarchicalGaussian, Point
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.progress import Cancel, Listener, Meter

from ..data.batch import ImageSource

BATCH = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Posteriors:
    """Means and variances (N, J) of the slices' latents, float32. Of a hierarchy the second part is that at the mean of
    the first; a plain autoencoder's variances are 0."""

    means: torch.Tensor
    variances: torch.Tensor

    def draws(self, times: int, generator: torch.Generator) -> torch.Tensor:
        """Latents (times·N, J): every posterior drawn from ``times`` times, pass by pass."""
        noise = torch.randn(times, *self.means.shape, generator=generator)
        return (self.means + self.variances.sqrt() * noise).flatten(0, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedSlices:
    """Slices (or cubes) of several patients.

    ``patients`` are their names and ``owners`` (N,) says whose a slice is; ``places`` (N,) is where it lies among its
    patient's, 0 for the first to 1 for the last. Either ``posteriors`` or the ``codes`` (N, *grid) of every level.
    """

    patients: tuple[str, ...]
    owners: torch.Tensor
    places: torch.Tensor
    posteriors: Posteriors | None
    codes: tuple[torch.Tensor, ...]

    def __len__(self) -> int:
        return len(self.owners)

    def of(self, names: list[str]) -> "EncodedSlices":
        """Those of some patients."""
        chosen = torch.tensor([name in names for name in self.patients])[self.owners]
        posteriors = self.posteriors
        if posteriors is not None:
            posteriors = Posteriors(posteriors.means[chosen], posteriors.variances[chosen])
        codes = tuple(level[chosen] for level in self.codes)
        return EncodedSlices(self.patients, self.owners[chosen], self.places[chosen], posteriors, codes)


@torch.no_grad()
def encode_patients(
    network: Network, sources: Mapping[str, ImageSource], device: torch.device, listener: Listener, cancel: Cancel
) -> EncodedSlices:
    """Encode every image of every patient in evaluation mode."""
    network = network.to(device).eval()
    meter = Meter(listener, "encoding the slices", sum(map(len, sources.values())))
    owners, places, moments, codes = [], [], [], []
    for owner, source in enumerate(sources.values()):
        owners.append(torch.full((len(source),), owner))
        places.append(torch.linspace(0, 1, len(source)) if len(source) > 1 else torch.full((len(source),), 0.5))
        for indices in torch.arange(len(source)).split(BATCH):
            cancel.check()
            encoding = network.encode(source.batch(indices).images.to(device))
            if isinstance(encoding, Codes | CodeLevels):
                levels = encoding.levels if isinstance(encoding, CodeLevels) else (encoding,)
                codes.append([level.indices.cpu() for level in levels])
            else:
                moments.append([part.float().flatten(1).cpu() for part in _moments(encoding)])
            meter.advance(len(indices))
    posteriors = Posteriors(*map(torch.cat, zip(*moments, strict=True))) if moments else None
    all_codes = tuple(map(torch.cat, zip(*codes, strict=True)))
    return EncodedSlices(tuple(sources), torch.cat(owners), torch.cat(places), posteriors, all_codes)


def _moments(encoding: Encoding) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of the latents, (N, *shape)."""
    if isinstance(encoding, Point):
        return encoding.value, torch.zeros_like(encoding.value)
    if isinstance(encoding, HierarchicalGaussian):
        first, second = encoding.first, encoding.second_given(encoding.first.mean)
        return encoding.mode, torch.cat([first.log_variance, second.log_variance], dim=1).exp()
    assert isinstance(encoding, DiagonalGaussian)
    return encoding.mean, encoding.log_variance.exp()
