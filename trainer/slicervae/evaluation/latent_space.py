"""What each latent of a model does: how much it carries, what it changes and where, and which known fact it follows."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.latent_facts import LatentFact, LatentFacts, write_latent_facts
from SlicerVAELib.core.manifest import Manifest, read_manifest
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.placement import choose_device
from SlicerVAELib.core.planes import slice_letter
from SlicerVAELib.core.preprocessing import HounsfieldWindow
from SlicerVAELib.core.progress import Cancel, Listener, Meter, part_of

from ..data.by_patient import Patients
from ..training.latents import EncodedSlices, encode_patients
from .known_facts import Facts, correlations

MOST = 64  # latents whose influence is looked at, those with the highest KL first
ACTIVE_VARIANCE = 0.01  # Burda et al. 2016
PICTURES = {2: 8, 3: 2}  # that each latent is tried on, by dimensions
MAP_SIDE = 32


def describe_latents(
    bundle: Path,
    find_patients: Callable[[Manifest, Listener], Patients],
    known: Facts,
    device: str,
    *,
    listener: Listener,
    cancel: Cancel,
) -> LatentFacts:
    """Describe a bundle's latents on patients' slices, and put that into the bundle.

    Raises UserError, also for models without Gaussian latents, and Cancelled; then the bundle is as it was.
    """
    manifest = read_manifest(bundle)
    network = load_network(bundle, manifest)
    if network.latent.kind != "gaussian":
        raise UserError(f"{manifest.title} has no Gaussian latents, each of which could be described; choose a VAE.")
    patients = find_patients(manifest, part_of(listener, 0.0, 0.1))
    place = choose_device(device)
    slices = encode_patients(network, patients.images, place, part_of(listener, 0.1, 0.4), cancel)
    facts, maps = latent_facts(network, slices, known, manifest, part_of(listener, 0.4, 1.0), cancel)
    cancel.check()
    write_latent_facts(bundle, manifest, facts, maps)
    return facts


def latent_facts(
    network: Network, slices: EncodedSlices, known: Facts, manifest: Manifest, listener: Listener, cancel: Cancel
) -> tuple[LatentFacts, np.ndarray]:
    """The facts about the most informative latents, and the maps (M, H, W) of their influence.

    KL is ½ (σ²/σ_z² + μ²/σ_z² − 1 − ln σ²/σ_z²), the mean over slices. Pictures to try latents on are slices at equal
    steps through all.
    """
    posteriors = slices.posteriors
    assert posteriors is not None
    gaussian = DiagonalGaussian(posteriors.means, posteriors.variances.log(), network.latent.prior_variance)
    kl = gaussian.kl_per_latent().mean(dim=0)
    variances = posteriors.means.var(dim=0, correction=0)
    chosen = kl.argsort(descending=True, stable=True)[:MOST]
    pictures = torch.linspace(0, len(slices) - 1, min(PICTURES[network.dimensions], len(slices))).round().long()
    scale, unit = _unit(manifest)
    meter = Meter(listener, "trying the latents", len(chosen))
    maps = influence_maps(network, posteriors.means[pictures], chosen, meter, cancel) * scale
    place = f"position towards {slice_letter(manifest.preprocessing.plane)}"
    found = correlations(
        posteriors.means[:, chosen].double().numpy(),
        slices.owners.numpy(),
        slices.places.double().numpy(),
        slices.patients,
        known,
        place,
    )
    influence = maps.mean(dim=(1, 2))
    described = [
        named(
            LatentFact(
                index=int(index),
                kl=float(kl[index]),
                variance_of_means=float(variances[index]),
                influence=float(influence[row]),
                correlations=found[row],
                name="",
            )
        )
        for row, index in enumerate(chosen)
    ]
    order = influence.argsort(descending=True, stable=True)
    facts = LatentFacts(
        weights_sha256="",
        patients=len(slices.patients),
        slices=len(slices),
        unit=unit,
        active=int((variances > ACTIVE_VARIANCE).sum()),
        latents=tuple(described[row] for row in order),
    )
    return facts, _small(maps[order]).numpy()


@torch.no_grad()
def influence_maps(
    network: Network, latents: torch.Tensor, chosen: torch.Tensor, meter: Meter, cancel: Cancel
) -> torch.Tensor:
    """|D(z + e_j) − D(z − e_j)| of the first image channel, the mean over some pictures' latents z (n, J), (M, H, W).

    D is the decoder and e_j one unit of latent j. Of a cube it is the mean over its slices.
    """
    device = next(network.parameters()).device
    maps = []
    for index in chosen.tolist():
        cancel.check()
        ends = []
        for sign in (1.0, -1.0):
            moved = latents.clone()
            moved[:, index] += sign
            ends.append(network.decode(moved.reshape(-1, *network.latent.shape).to(device))[:, 0].cpu())
        change = (ends[0] - ends[1]).abs()
        maps.append(change.mean(dim=tuple(range(change.ndim - 2))))
        meter.advance(1)
    return torch.stack(maps)


def _small(maps: torch.Tensor) -> torch.Tensor:
    """Maps (M, H, W) averaged down to at most ``MAP_SIDE`` pixels a side."""
    side = min(MAP_SIDE, maps.shape[-1])
    return functional.adaptive_avg_pool2d(maps[:, None], side)[:, 0]


def _unit(manifest: Manifest) -> tuple[float, str]:
    """Input units of one model unit, and their name."""
    intensity = manifest.preprocessing.intensity
    if isinstance(intensity, HounsfieldWindow):
        return intensity.upper - intensity.lower, "HU"
    return 1.0, "of the intensity window"


def named(fact: LatentFact) -> LatentFact:
    """A latent called after the fact that it follows."""
    words = f": {fact.follows} (r={next(iter(fact.correlations.values())):.2f})" if fact.follows else ""
    return dataclasses.replace(fact, name=f"latent {fact.index}{words}")
