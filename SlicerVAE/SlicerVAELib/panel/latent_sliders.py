"""Which latents get a slider, and what each is called."""

import dataclasses
from pathlib import Path

from ..core.errors import UserError
from ..core.manifest import Manifest

MOST = 8
UNDESCRIBED = "What the latents do is not known; 'slicervae describe-latents' finds it out. Shown are the first ones."


@dataclasses.dataclass(frozen=True)
class LatentSliders:
    """``indices`` count the flattened latents, ``names`` are what each does; ``note`` is for the person."""

    indices: tuple[int, ...]
    names: tuple[str, ...]
    note: str = ""

    @classmethod
    def of(cls, bundle: Path, manifest: Manifest, latents: int) -> "LatentSliders":
        """The latents that change the picture most, as the bundle tells them; the first ones where it does not."""
        from ..core.latent_facts import read_latent_facts  # needs a package that may have to be installed first

        try:
            described = read_latent_facts(bundle, manifest)
        except UserError as error:
            return cls._first(latents, f"{error} Shown are the first ones.")
        if described is None:
            return cls._first(latents, UNDESCRIBED)
        facts, _ = described
        chosen = [latent for latent in facts.latents if latent.index < latents][:MOST]
        return cls(
            tuple(latent.index for latent in chosen),
            tuple(latent.name for latent in chosen),
            f"The {len(chosen)} that change the picture most, of {facts.active} active latents.",
        )

    @classmethod
    def _first(cls, latents: int, note: str) -> "LatentSliders":
        indices = tuple(range(min(latents, MOST)))
        return cls(indices, tuple(f"latent {index}" for index in indices), note)
