"""Small but complete model bundles: 64 pixels, seeded random weights, batch norms that have seen images.

What such a model draws is meaningless, but it depends on its input, on the seed and on every weight.
"""

from pathlib import Path
from typing import Any

import torch

from SlicerVAELib.core.bundle import write_bundle
from SlicerVAELib.core.declaration import Declaration
from SlicerVAELib.core.manifest import FORMAT, FORMAT_VERSION, Manifest, NetworkDescription
from SlicerVAELib.core.networks import Network, build
from SlicerVAELib.core.preprocessing import ForegroundPercentiles, HounsfieldWindow, Preprocessing
from SlicerVAELib.core.volume import Modality

SIZE = 64
SPACING_MM = 6.0
SETTINGS = {"size": SIZE, "channels": 1, "latent": 8}
PREVIEW_PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))


def tiny_manifest(modality: Modality = Modality.CT, **changes: Any) -> Manifest:
    """The manifest, not sealed yet, of a small model; ``changes`` replace its fields."""
    intensity = HounsfieldWindow() if modality is Modality.CT else ForegroundPercentiles()
    fields: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": f"tiny-{modality}",
        "version": "1.0",
        "created": "2026-01-01T00:00:00+00:00",
        "software": "SlicerVAE",
        "recipe": "vae50",
        "network": NetworkDescription("table52_vae", SETTINGS),
        "preprocessing": Preprocessing(intensity, SIZE, SPACING_MM),
        "declaration": Declaration(modality, "chest", SIZE * SPACING_MM, (1.0, 6.0), 1, "For tests only."),
        "noise_variance": 0.02,
    }
    return Manifest(**(fields | changes))


def tiny_network(seed: int = 0, **settings: Any) -> Network:
    """The network in evaluation mode; the caller's random numbers are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build("table52_vae", SETTINGS | settings).train()
        with torch.no_grad():
            for _ in range(3):
                images = torch.rand(4, network.channels, network.image_size, network.image_size)
                network.decode(3 * torch.randn(4, network.latent.size) + network.encode(images).mean)
    return network.eval().requires_grad_(False)


def write_tiny_bundle(folder: Path, modality: Modality = Modality.CT, *, seed: int = 0, **changes: Any) -> Manifest:
    """Write the new folder ``folder`` and return its sealed manifest."""
    manifest = tiny_manifest(modality, **changes)
    return write_bundle(folder, manifest, tiny_network(seed), card="# A small model\n", preview=PREVIEW_PNG)
