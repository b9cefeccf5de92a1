"""Hundreds of damaged bundles: each is refused with one sentence, or is still the very same model."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch

from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import FILES, MANIFEST, WEIGHTS, _checksum, read_manifest, record_of
from Testing.headless.tiny_bundle import write_tiny_bundle

CASES = 400


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "lungs"
    write_tiny_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def answer(original):
    return probe(original)


def probe(bundle: Path):
    """What somebody gets from a bundle: its description, its card and picture, and what its network draws."""
    manifest = read_manifest(bundle)
    others = [(bundle / name).read_bytes() for name in FILES if name != WEIGHTS]
    network = load_network(bundle, manifest)
    return manifest, others, {name: weights.clone() for name, weights in network.state_dict().items()}


def same(first, second) -> bool:
    return first[:2] == second[:2] and all(torch.equal(first[2][name], second[2][name]) for name in first[2])


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Truncated, grown, with flipped bits, or with a stretch of zeros as a failed disk leaves it."""
    what = chance.choice(["truncate", "grow", "bit", "bits", "zeros", "swap"])
    if what == "truncate":
        return content[: chance.randrange(len(content))]
    if what == "grow":
        return content + chance.randbytes(chance.randint(1, 50))
    changed = bytearray(content)
    # Most of a file is numbers; its beginning, where its structure stands, is hit as often as all the rest.
    places = len(content) if chance.random() < 0.5 else min(len(content), 400)
    if what in ("bit", "bits"):
        for _ in range(1 if what == "bit" else chance.randint(2, 20)):
            changed[chance.randrange(places)] ^= 1 << chance.randrange(8)
    else:
        start = chance.randrange(places)
        length = chance.randint(1, 100)
        changed[start : start + length] = bytes(length) if what == "zeros" else changed[start : start + length][::-1]
    return bytes(changed)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_damage_is_refused_or_harmless(original, answer, tmp_path, name):
    bundle = Path(shutil.copytree(original, tmp_path / "bundle"))
    content = (original / name).read_bytes()
    chance = random.Random(name)
    refused = 0
    for _ in range(CASES // (8 if name == WEIGHTS else 1)):
        broken = damaged(content, chance)
        (bundle / name).write_bytes(broken)
        try:
            got = probe(bundle)
        except UserError as error:
            refused += 1
            assert str(bundle) in str(error)
        else:
            assert same(got, answer)
    assert refused > 0


def test_weights_damaged_by_someone_who_corrects_the_checksums_are_refused_or_read(original, tmp_path):
    """Below the checksums: the reader of the weights itself withstands damage to its header."""
    bundle = Path(shutil.copytree(original, tmp_path / "bundle"))
    content = (original / WEIGHTS).read_bytes()
    chance = random.Random(1)
    refused = 0
    for _ in range(CASES // 8):
        broken = damaged(content[:6000], chance) + content[6000:]
        (bundle / WEIGHTS).write_bytes(broken)
        reseal(bundle, {})
        try:
            probe(bundle)
        except UserError as error:
            refused += 1
            assert str(bundle) in str(error)
    assert refused > CASES // 16


def reseal(bundle: Path, changes: dict) -> None:
    data = json.loads((bundle / MANIFEST).read_text(encoding="utf-8")) | changes
    if isinstance(data.get("files"), dict):
        data["files"] = data["files"] | {
            WEIGHTS: {
                "bytes": (bundle / WEIGHTS).stat().st_size,
                "sha256": record_of((bundle / WEIGHTS).read_bytes()).sha256,
            }
        }
    data["checksum"] = _checksum(data)
    (bundle / MANIFEST).write_text(json.dumps(data), encoding="utf-8")


ODD = [
    None,
    True,
    -1,
    0,
    1e308,
    "",
    "x",
    [],
    [None],
    {},
    {"kind": "hounsfield"},
    {"a": {"b": []}},
    10**30,
    "\ud800",
    "../..",
]


def test_a_description_forged_with_right_checksums_is_refused_or_read(original, tmp_path):
    bundle = Path(shutil.copytree(original, tmp_path / "bundle"))
    data = json.loads((original / MANIFEST).read_text(encoding="utf-8"))
    paths = [(key,) for key in data] + [
        (key, inner) for key in data if isinstance(data[key], dict) for inner in data[key]
    ]
    refused = 0
    for path in paths:
        for odd in ODD:
            forged = json.loads(json.dumps(data))
            place = forged
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = odd
            forged["checksum"] = _checksum(forged) if path != ("checksum",) else odd
            (bundle / MANIFEST).write_text(json.dumps(forged), encoding="utf-8")
            try:
                load_network(bundle)
            except UserError as error:
                refused += 1
                assert str(bundle) in str(error)
    assert refused > 100
