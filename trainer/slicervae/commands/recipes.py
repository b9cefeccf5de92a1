"""List the models that can be trained."""

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Row:
    """What is told of a recipe.

    ``input_size`` is H, W or D, H, W in pixels. ``channels`` counts all channels of an image, ``structure_channels``
    those of them that are structures. ``latent`` tells a person of the latents. Of codes, ``code_grids`` has the sides
    of each grid, the coarsest first, and ``code_bits`` what the codes of one image take; both are empty and 0
    elsewhere. Parameters are counted as Keras does, with batch norm's running statistics; codebooks stand apart.
    """

    name: str
    title: str
    family: str
    source: str
    input_size: tuple[int, ...]
    channels: int
    structure_channels: int
    latent: str
    latent_kind: str
    latent_shape: tuple[int, ...]
    latent_size: int
    code_grids: tuple[tuple[int, ...], ...]
    codebook_size: int
    code_bits: int
    similarity: tuple[str, ...]
    encoder_parameters: int
    decoder_parameters: int
    codebook_parameters: int
    objective: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print as JSON, for programs")


def run(options: argparse.Namespace) -> None:
    """Print every recipe with its network's sizes."""
    import json

    from SlicerVAELib.core.records import to_data

    from ..recipe import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    rows = [row_of(recipe) for recipe in recipes]
    if options.json:
        sys.stdout.write(json.dumps(to_data(rows), indent=2, ensure_ascii=False) + "\n")
        return
    cells = [("recipe", "size", "latents", "encoder", "decoder", "title"), *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    for name, size, latents, *parameters, title in cells:
        numbers = "  ".join(f"{text:>{width}}" for text, width in zip(parameters, widths[3:], strict=True))
        sys.stdout.write(f"{name:<{widths[0]}}  {size:>{widths[1]}}  {latents:<{widths[2]}}  {numbers}  {title}\n")


def row_of(recipe: "Recipe") -> Row:
    """What is told of a recipe, with its network built without the memory for its weights."""
    import torch

    from SlicerVAELib.core.networks import build
    from SlicerVAELib.core.networks.interface import parameter_count

    with torch.device("meta"):
        network = build(recipe.network.family, recipe.network.settings, f"the recipe {recipe.name}, network")
    latent = network.latent
    encoder, decoder = parameter_count(network.encoder), parameter_count(network.decoder)
    return Row(
        name=recipe.name,
        title=recipe.title,
        family=recipe.network.family,
        source=recipe.source,
        input_size=network.image_shape[1:],
        channels=network.channels,
        structure_channels=network.structure_channels,
        latent=latent.in_words,
        latent_kind=latent.kind,
        latent_shape=latent.shape,
        latent_size=latent.size,
        code_grids=latent.grids,
        codebook_size=latent.codebook_size,
        code_bits=round(latent.bits),
        similarity=latent.similarity,
        encoder_parameters=encoder,
        decoder_parameters=decoder,
        codebook_parameters=parameter_count(network) - encoder - decoder,
        objective=recipe.objective.kind,
    )


def _cells(row: Row) -> tuple[str, ...]:
    size = "×".join(map(str, row.input_size))
    return (row.name, size, row.latent, f"{row.encoder_parameters:,}", f"{row.decoder_parameters:,}", row.title)
