"""Every recipe of the specification's table: its published sizes, and that it builds, trains and reconstructs."""

import dataclasses
import json
import math

import pytest
import torch

from slicervae.cli import main
from slicervae.data.batch import Batch
from slicervae.draws import Draws
from slicervae.objectives import Moment, objective_for
from slicervae.recipe import load_recipe, parse_recipe
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import Network, build, families

TABLE = [
    "ae50",
    "vae50",
    "vae8192",
    "svae3x3x9",
    "svae16x16x32",
    "vpga50",
    "vqvae_std",
    "vqvae_8x8",
    "vqvae_adpt",
    "introvae50",
    "soft_introvae50",
    "rtvae2d",
    "rtvae3d",
    "rtvae_structures",
    "high_vae",
    "low_vae",
    "chvae",
    "pchvae",
    "vqvae2",
    "brain_vae",
    "brain_vqvae",
    "brain_vae_first",
    "cevae",
]
FASTER = {"cevae": ["latent=16"], "brain_vae": ["latent=16"]}  # their dense layers take gigabytes to train


@pytest.fixture(scope="module")
def rows() -> dict[str, dict]:
    """What ``slicervae recipes --json`` prints, by name."""
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["recipes", "--json"]) == 0
    return {row["name"]: row for row in json.loads(out.getvalue())}


def test_every_recipe_of_the_table_is_there(rows):
    assert set(rows) == set(TABLE)
    assert all(row["title"] and row["source"] and row["family"] and row["objective"] for row in rows.values())


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"),
    [("brain_vae", 38_061_104, 21_293_105), ("brain_vqvae", 248_912, 181_878), ("vae50", 2_556_060, 1_304_889)],
)
def test_parameters_are_as_published(rows, name, encoder, decoder):
    assert (rows[name]["encoder_parameters"], rows[name]["decoder_parameters"]) == (encoder, decoder)


@pytest.mark.parametrize("name", TABLE)
def test_every_setting_of_its_network_can_be_changed_and_is_kept(name):
    recipe = load_recipe(name)
    kept = parse_recipe(recipe.to_yaml(), "the run's recipe")
    assert kept == recipe
    settings = dataclasses.fields(families[recipe.network.family].settings)
    assert {field.name for field in settings} == recipe.network.settings.keys()
    if "prior_variance" in recipe.network.settings:
        changed = load_recipe(name, ["prior_variance=2.5"])
        assert changed.network.settings == {**recipe.network.settings, "prior_variance": 2.5}


@pytest.mark.parametrize(("size", "encoder", "decoder"), [(128, 2_545_196, 1_302_593), (64, 2_497_868, 1_291_601)])
def test_table_52_has_the_published_parameters_at_smaller_sizes(size, encoder, decoder):
    from slicervae.commands.recipes import row_of

    row = row_of(load_recipe("vae50", [f"size={size}"]))
    assert row.input_size == (size, size)
    assert (row.encoder_parameters, row.decoder_parameters) == (encoder, decoder)


@pytest.mark.parametrize(("name", "outputs"), [("svae3x3x9", 108), ("svae16x16x32", 2048)])
def test_spatial_encoders_give_as_many_numbers_as_published(name, outputs):
    recipe = load_recipe(name, ["size=64"]) if name == "svae3x3x9" else load_recipe(name)
    network = build(recipe.network.family, recipe.network.settings).eval()
    with torch.inference_mode():
        assert network.encoder(torch.zeros(1, *network.image_shape))[0].numel() == outputs


@pytest.mark.parametrize(
    ("name", "grids", "bits", "words"),
    [
        ("vqvae_std", [[4, 4]], 144, "4×4 codes, 144 bits"),
        ("vqvae_8x8", [[8, 8]], 576, "8×8 codes, 576 bits"),
        ("vqvae_adpt", [[32, 32]], 9216, "32×32 codes, 9,216 bits"),
        ("brain_vqvae", [[2, 2]], 28, "2×2 codes, 28 bits"),
        ("vqvae2", [[16, 16], [32, 32]], 11_520, "16×16 + 32×32 codes, 11,520 bits"),
    ],
)
def test_codes_are_told_as_grids_and_bits(rows, name, grids, bits, words, capsys):
    assert (rows[name]["code_grids"], rows[name]["code_bits"], rows[name]["latent"]) == (grids, bits, words)
    assert sum(math.prod(grid) for grid in grids) * math.log2(rows[name]["codebook_size"]) == bits
    assert "kl" not in rows[name]["similarity"]
    assert main(["recipes"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{name} "))
    assert words in line


def test_sizes_are_those_of_the_table(rows):
    assert rows["rtvae3d"]["input_size"] == [128, 128, 128]
    assert rows["rtvae_structures"]["structure_channels"] == rows["rtvae_structures"]["channels"] - 1 > 1
    sizes = {"vae8192": 8192, "svae3x3x9": 81, "svae16x16x32": 8192, "rtvae2d": 12, "brain_vae_first": 200}
    assert {name: rows[name]["latent_size"] for name in sizes} == sizes
    assert rows["ae50"]["similarity"] == ["euclidean"]
    assert rows["vae50"]["similarity"] == ["kl", "reverse-kl", "symmetric-kl"]


def smallest(name: str) -> Network:
    """The recipe's network at the smallest size that it allows."""
    for size in (32, 64, 128, 256):
        try:
            recipe = load_recipe(name, [f"size={size}", *FASTER.get(name, [])])
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return build(recipe.network.family, recipe.network.settings)
        except UserError:
            continue
    raise AssertionError(f"{name} takes none of the usual sizes")


@pytest.mark.parametrize("name", TABLE)
def test_a_recipe_encodes_decodes_and_trains_a_step(name):
    network = smallest(name)
    objective = objective_for(network, load_recipe(name).objective, name).train()
    batch = Batch(_images(network, 2))
    late = Moment(50, 100, 1e6, Draws(torch.Generator().manual_seed(0)))  # after any warm-up
    for phase in objective.phases:
        parameters = objective.parameters_of(phase)
        optimizer = torch.optim.SGD(parameters, lr=1e-7)
        optimizer.zero_grad()
        terms = objective(batch, late, phase)
        assert torch.isfinite(terms.loss) and "mse" in terms.parts
        terms.loss.backward()
        assert any(weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in parameters)
        optimizer.step()
    objective.after_step(late)
    objective.eval()
    with torch.inference_mode():
        latents = network.encode(batch.images).mode
        images = network.decode(latents)
        measured = objective.measure(batch)
    assert latents.shape == (2, *network.latent.shape)
    assert images.shape == batch.images.shape and torch.isfinite(images).all()
    assert {tuple(values.shape) for values in measured.values()} == {(2,)}
    assert math.isfinite(objective.judge({key: float(values.mean()) for key, values in measured.items()}))


def _images(network: Network, count: int) -> torch.Tensor:
    """Random images whose structures are one class a pixel."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, *network.image_shape, generator=generator)
    if network.structure_channels:
        first = network.channels - network.structure_channels
        classes = images[:, first:].argmax(dim=1)
        images[:, first:] = torch.nn.functional.one_hot(classes, network.structure_channels).movedim(-1, 1).float()
    return images
