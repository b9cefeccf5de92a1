"""What a person is told with a result, as sentences, and what its provenance tells beside the model."""

from collections.abc import Mapping

from .latent import Latent
from .manifest import Manifest
from .volume import Volume


def request_told(channels: Mapping[str, Volume], *, override: bool) -> dict[str, str]:
    """What the provenance tells of a request: its further images, and an override."""
    told = {f"channel {name}": volume.source.name or volume.source.path for name, volume in channels.items()}
    if override:
        told["override"] = "warnings were overridden by the person"
    return told


def what_is_decoded(latent: Latent, seed: int | None) -> str:
    """What a reconstruction was decoded from, for the provenance."""
    if latent.kind != "gaussian":
        return {"codes": "codes", "point": "latents"}[latent.kind]
    return "posterior mean" if seed is None else f"draw {seed}"


def on_demonstration(manifest: Manifest) -> list[str]:
    """That the model is a demonstration, where it is one."""
    if not manifest.declaration.is_demonstration:
        return []
    return [f"{manifest.title} is a demonstration; 'slicervae fit' trains a model on patients of your own."]


def on_the_draw(latent: Latent, seed: int | None, model: str) -> list[str]:
    """That a seed had no effect, where nothing is random."""
    if seed is None or latent.kind == "gaussian":
        return []
    has = "codes" if latent.kind == "codes" else "latents without a posterior"
    return [f"{model} has {has}, in which nothing is random; the seed of the draw had no effect."]


def on_what_is_left_out(count: int) -> list[str]:
    """How many images show no body."""
    return [f"{count} {'slice shows' if count == 1 else 'slices show'} no body and had no part."] if count else []
