"""What each latent does, against models and patients whose truth is known."""

import json

import numpy as np
import pytest
import torch

from slicervae.cli import main
from slicervae.evaluation.known_facts import correlations, read_facts
from slicervae.evaluation.latent_space import influence_maps
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.latent_facts import read_latent_facts
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.progress import Cancel, Meter, ignore

PATIENTS, SLICES = 20, 6


class Ramp(torch.nn.Module):
    """A decoder in which latent j brightens row j by j + 1 times its value."""

    latent = type("Latent", (), {"shape": (4,)})

    def __init__(self) -> None:
        super().__init__()
        self.slopes = torch.nn.Parameter(torch.arange(1.0, 5.0))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents * self.slopes)[:, None, :, None].expand(-1, 1, 4, 4)


def test_influence_is_the_change_from_minus_one_to_one_where_it_happens():
    latents = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    maps = influence_maps(Ramp(), latents, torch.tensor([2, 0]), Meter(ignore, "", 2), Cancel())
    expected = torch.zeros(2, 4, 4)
    expected[0, 2], expected[1, 0] = 2 * 3.0, 2 * 1.0
    torch.testing.assert_close(maps, expected)


@pytest.fixture
def cohort():
    """Latent 0 follows a patient's age, latent 1 the place of a slice, latents 2 to 9 nothing."""
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(PATIENTS), SLICES)
    places = np.tile(np.linspace(0, 1, SLICES), PATIENTS)
    ages = rng.uniform(20, 80, PATIENTS)
    means = rng.normal(size=(len(owners), 10))
    means[:, 0] = -ages[owners] / 20 + 0.1 * rng.normal(size=len(owners))
    means[:, 1] = 3 * places + 0.2 * rng.normal(size=len(owners))
    patients = tuple(f"P{n}" for n in range(PATIENTS))
    facts = {
        "age_years": dict(zip(patients, ages, strict=True)),
        "shoe_size": dict(zip(patients, rng.normal(size=PATIENTS), strict=True)),
    }
    return means, owners, places, patients, facts


def test_latents_are_found_to_follow_what_they_follow_and_nothing_else(cohort):
    found = correlations(*cohort, "position towards S")
    assert list(found[0]) == ["age_years"]
    ages = np.array(list(cohort[4]["age_years"].values()))
    by_patient = cohort[0][:, 0].reshape(PATIENTS, SLICES).mean(axis=1)
    assert found[0]["age_years"] == pytest.approx(np.corrcoef(by_patient, ages)[0, 1])
    assert list(found[1]) == ["position towards S"]
    assert found[1]["position towards S"] > 0.9
    assert found[2:] == [{}] * 8


def test_chance_is_seldom_taken_for_a_finding(cohort):
    """Of 60 cohorts in which nothing follows anything, Holm's correction lets at most 5 % through, here at most 8."""
    _, owners, places, patients, facts = cohort
    rng = np.random.default_rng(1)
    wrong = sum(
        any(correlations(rng.normal(size=(len(owners), 12)), owners, places, patients, facts, "position"))
        for _ in range(60)
    )
    assert wrong <= 8


def test_too_few_patients_tell_nothing(cohort):
    means, owners, places, patients, facts = cohort
    known = {"age_years": {name: facts["age_years"][name] for name in patients[:4]}}
    assert "age_years" not in correlations(means, owners, places, patients, known, "position")[0]


def test_facts_are_read_from_a_table_and_from_json(tmp_path):
    table = tmp_path / "facts.csv"
    table.write_text("patient,age_years,sex,site\nA,61,M,lung\nB,,F,breast\nC,40.5,M,head\n", encoding="utf-8")
    facts = read_facts(table)
    assert facts == {"age_years": {"A": 61.0, "C": 40.5}, "sex M": {"A": 1.0, "B": 0.0, "C": 1.0}}
    other = tmp_path / "facts.json"
    other.write_text(json.dumps({"A": {"age_years": 61}, "C": {"age_years": 40.5}}), encoding="utf-8")
    assert read_facts(other) == {"age_years": {"A": 61.0, "C": 40.5}}


@pytest.mark.parametrize(("name", "content"), [("a.json", "[1, 2]"), ("a.json", "{"), ("a.csv", "age\n61\n")])
def test_a_file_without_facts_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError):
        read_facts(tmp_path / name)


def test_the_command_puts_the_facts_into_the_bundle(small_run, small_bundle, tmp_path, capsys):
    import shutil

    bundle = shutil.copytree(small_bundle, tmp_path / "bundle")
    assert main(["describe-latents", str(bundle), "--run", str(small_run)]) == 0
    assert "latents are active" in capsys.readouterr().out
    facts, maps = read_latent_facts(bundle, read_manifest(bundle))
    assert sorted(latent.index for latent in facts.latents) == list(range(8))
    influences = [latent.influence for latent in facts.latents]
    assert influences == sorted(influences, reverse=True)
    assert maps.shape == (8, 32, 32)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), influences, rtol=1e-3)
