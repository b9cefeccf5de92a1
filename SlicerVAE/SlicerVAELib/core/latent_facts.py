"""What is known of a model's latents: how much each carries, what it changes in the picture and where, and its name.

``slicervae describe-latents`` finds it out and puts it into the bundle as latents.json and latents.safetensors. Read
without torch, so that an explorer can put the meaningful sliders first.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from .bundle_parts import check_belongs, has_part, read_part, weights_checksum, write_parts
from .errors import UserError
from .manifest import Manifest
from .records import from_data, to_data

DESCRIPTION, ARRAYS = "latents.json", "latents.safetensors"
VERSION = 1
MAPS = "influence"
NAMING = 0.5  # |r| of the fact that a latent is called after


@dataclasses.dataclass(frozen=True)
class LatentFact:
    """One latent, number ``index`` of the flattened latents.

    ``kl`` is its mean KL divergence from the prior in nats, ``variance_of_means`` that of the posteriors' means over
    the slices (near 0: the encoder does not use it). ``influence`` is how much the picture changes when the latent goes
    from −1 to +1, the mean over all pixels of the absolute change, in the unit of ``LatentFacts``. ``correlations`` are
    Pearson's r with known facts, those beyond chance alone, the strongest first. ``name`` is for a slider.
    """

    index: int = dataclasses.field(metadata={"min": 0})
    kl: float
    variance_of_means: float
    influence: float
    correlations: dict[str, float]
    name: str

    @property
    def follows(self) -> str:
        """The fact that the latent goes together with most, in words; empty where there is none."""
        fact, r = next(iter(self.correlations.items()), ("", 0.0))
        return fact.replace("_", " ") if abs(r) >= NAMING else ""


@dataclasses.dataclass(frozen=True)
class LatentFacts:
    """The described latents, the one that changes the picture most first. ``unit`` is that of influences: HU for CT,
    else shares of the intensity window. ``active`` counts all latents whose means vary by more than 0.01."""

    weights_sha256: str
    patients: int
    slices: int
    unit: str
    active: int
    latents: tuple[LatentFact, ...]
    version: int = dataclasses.field(default=VERSION, metadata={"min": 1, "max": VERSION})


def write_latent_facts(bundle: Path, manifest: Manifest, facts: LatentFacts, maps: np.ndarray) -> Manifest:
    """Put facts, and the maps (M, H, W) of where each latent has its influence, into a bundle; returns its manifest."""
    facts = dataclasses.replace(facts, weights_sha256=weights_checksum(manifest))
    text = json.dumps(to_data(facts), indent=2, ensure_ascii=False) + "\n"
    arrays = safetensors.numpy.save({MAPS: np.ascontiguousarray(maps, dtype=np.float32)})
    return write_parts(bundle, {ARRAYS: arrays, DESCRIPTION: text.encode()})


def read_latent_facts(bundle: Path, manifest: Manifest) -> tuple[LatentFacts, np.ndarray] | None:
    """The facts and the maps, float32 (M, H, W) in the facts' unit and order; None where the bundle has none.

    Raises UserError for damaged ones and for those of another model.
    """
    if not has_part(manifest, (DESCRIPTION, ARRAYS)):
        return None
    damaged = UserError(f"The facts about latents in {bundle} are damaged; run 'slicervae describe-latents' again.")
    try:
        data = json.loads(read_part(bundle, manifest, DESCRIPTION))
        maps = safetensors.numpy.load(read_part(bundle, manifest, ARRAYS)).get(MAPS, np.empty(0))
    except (ValueError, RecursionError, safetensors.SafetensorError):
        raise damaged from None
    facts = from_data(LatentFacts, data, str(bundle / DESCRIPTION))
    check_belongs(facts.weights_sha256, bundle, manifest, "list of latents", "describe-latents")
    if maps.ndim != 3 or len(maps) != len(facts.latents) or not np.isfinite(maps).all():
        raise damaged
    return facts, maps
