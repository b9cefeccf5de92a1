"""List the models that can be trained."""

import argparse
import sys
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print as JSON, for programs")


def run(options: argparse.Namespace) -> None:
    """Print every recipe with its network's sizes."""
    import json

    from SlicerVAELib.core.networks import build
    from SlicerVAELib.core.networks.interface import parameter_count

    from ..recipe import load_recipe, recipe_names

    rows: list[dict[str, Any]] = []
    for name in recipe_names():
        recipe = load_recipe(name)
        network = build(recipe.network.family, recipe.network.settings)
        rows.append(
            {
                "name": recipe.name,
                "title": recipe.title,
                "family": recipe.network.family,
                "source": recipe.source,
                "input_size": [network.image_size, network.image_size],
                "latent_size": network.latent.size,
                "encoder_parameters": parameter_count(network.encoder),
                "decoder_parameters": parameter_count(network.decoder),
                "objective": recipe.objective.kind,
            }
        )
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    sys.stdout.write(f"{'recipe':<12}{'size':>6}{'latents':>9}{'encoder':>12}{'decoder':>12}  title\n")
    for row in rows:
        sys.stdout.write(
            f"{row['name']:<12}{row['input_size'][0]:>6}{row['latent_size']:>9}{row['encoder_parameters']:>12,}"
            f"{row['decoder_parameters']:>12,}  {row['title']}\n"
        )
