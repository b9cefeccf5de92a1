"""Model bundles: written whole or not at all, read back as they were, refused when they are not what they say."""

import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import safetensors.torch
import torch

from SlicerVAELib.core.bundle import load_network, write_bundle
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import (
    CARD,
    FILES,
    FORMAT_VERSION,
    MANIFEST,
    PREVIEW,
    WEIGHTS,
    NetworkDescription,
    read_manifest,
    record_of,
)
from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
from SlicerVAELib.core.volume import Modality
from Testing.headless.tiny_bundle import PREVIEW_PNG, SETTINGS, tiny_manifest, tiny_network, write_tiny_bundle


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "lungs"
    write_tiny_bundle(folder)
    return folder


@pytest.fixture
def bundle(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy"))


def resealed(bundle: Path, **changes) -> Path:
    """Change entries of bundle.json, and make its checksums right again, as someone could who means to."""
    manifest = read_manifest(bundle)
    files = {name: record_of((bundle / name).read_bytes()) for name in FILES}
    changed = dataclasses.replace(manifest, **changes).sealed(files)
    (bundle / MANIFEST).write_text(changed.to_json(), encoding="utf-8")
    return bundle


def refusal(bundle: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_network(bundle)
    sentence = str(caught.value)
    assert str(bundle) in sentence
    assert "\n" not in sentence
    return sentence


def test_a_bundle_of_half_precision_takes_half_the_room_and_computes_in_single(original, tmp_path):
    network = tiny_network()
    write_bundle(tmp_path / "half", tiny_manifest(), network, card="", preview=PREVIEW_PNG, stored_as=torch.float16)
    half = load_network(tmp_path / "half")
    assert {tensor.dtype for tensor in half.state_dict().values() if tensor.is_floating_point()} == {torch.float32}
    full, small = ((folder / WEIGHTS).stat().st_size for folder in (original, tmp_path / "half"))
    assert small < 0.6 * full
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(half.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("modality", [Modality.CT, Modality.MR])
def test_a_bundle_is_read_as_it_was_written(modality, tmp_path):
    folder = tmp_path / "deep" / "model"
    written = write_tiny_bundle(folder, modality, seed=3, quality={"mse": 0.01})
    assert read_manifest(folder) == written
    assert len(written.checksum) == 64
    assert sorted(path.name for path in folder.iterdir()) == sorted([MANIFEST, *FILES])
    network, expected = load_network(folder), tiny_network(3)
    assert not network.training
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), expected.state_dict().values(), strict=True)
    )
    assert sorted(path.name for path in tmp_path.rglob(".*")) == []


def test_a_bundle_can_be_read_by_whoever_reads_other_new_folders(original):
    (original.parent / "other").mkdir()
    assert original.stat().st_mode == (original.parent / "other").stat().st_mode


def test_the_same_model_has_the_same_checksum_and_another_one_has_not(tmp_path):
    first, again, other = (
        write_tiny_bundle(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.checksum == again.checksum != other.checksum


def test_text_beyond_ascii_survives(tmp_path):
    written = write_tiny_bundle(tmp_path / "Lunge – ä", name="Lunge – größer ✓")
    assert read_manifest(tmp_path / "Lunge – ä") == written


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 0.5, -1])
def test_a_truncated_file_is_refused(bundle, name, kept):
    path = bundle / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if kept >= 0 else kept])
    assert name in refusal(bundle)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_missing_file_is_refused(bundle, name):
    (bundle / name).unlink()
    assert name in refusal(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused(bundle, name):
    path = bundle / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert name in refusal(bundle)


def test_a_hand_edited_description_is_refused(bundle):
    path = bundle / MANIFEST
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"modality": "CT"', '"modality": "MR"'), encoding="utf-8")
    assert "was changed" in refusal(bundle)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 99])
def test_a_newer_bundle_asks_for_an_update(bundle, version):
    data = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    (bundle / MANIFEST).write_text(json.dumps(data | {"format_version": version, "novelty": 1}), encoding="utf-8")
    sentence = refusal(bundle)
    assert "newer" in sentence
    assert "update SlicerVAE" in sentence


@pytest.mark.parametrize("version", ["1", None, True, 0, -3, 0.5, [1]])
def test_a_version_that_is_none_is_refused_and_not_called_newer(bundle, version):
    data = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    (bundle / MANIFEST).write_text(json.dumps(data | {"format_version": version}), encoding="utf-8")
    assert "newer" not in refusal(bundle)


@pytest.mark.parametrize(
    "content", ["{}", "[]", "null", '{"format": "other"}', '{"format": ["slicervae-bundle"]}', "", "PK"]
)
def test_foreign_content_is_refused(bundle, content):
    (bundle / MANIFEST).write_text(content, encoding="utf-8")
    refusal(bundle)


def test_deeply_nested_json_is_refused(bundle):
    data = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    # Every depth up to Python's limit: reading may just succeed where writing the same again does not.
    for depth in (*range(700, 1001), 100_000):
        text = json.dumps(data | {"x": 0}).replace('"x": 0', '"x": ' + "[" * depth + "]" * depth)
        (bundle / MANIFEST).write_text(text, encoding="utf-8")
        refusal(bundle)


def test_what_is_no_folder_of_a_bundle_is_refused(original, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "empty", original / WEIGHTS, original / WEIGHTS / "deeper"):
        refusal(path)


def test_a_path_that_no_system_takes_is_refused(tmp_path):
    for path in (tmp_path / ("x" * 300), tmp_path / "nul\0"):
        with pytest.raises(UserError):
            read_manifest(path)
        with pytest.raises(UserError):
            write_bundle(path, tiny_manifest(), tiny_network(), card="", preview=b"")


class _Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_in_place_of_the_weights_is_refused_and_never_executed(bundle, tmp_path):
    exploded = tmp_path / "exploded"
    pickle.loads(pickle.dumps(_Bomb(exploded)))
    assert exploded.exists()  # it would
    exploded.unlink()
    for write in (
        lambda path: path.write_bytes(pickle.dumps(_Bomb(exploded))),
        lambda path: torch.save(_Bomb(exploded), path),
    ):
        write(bundle / WEIGHTS)
        refusal(bundle)
        manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
        manifest["files"][WEIGHTS] = dataclasses.asdict(record_of((bundle / WEIGHTS).read_bytes()))
        (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        assert WEIGHTS in refusal(resealed_by_hand(bundle))
        assert not exploded.exists()


def resealed_by_hand(bundle: Path) -> Path:
    from SlicerVAELib.core import manifest as module

    data = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    data["checksum"] = module._checksum(data)
    (bundle / MANIFEST).write_text(json.dumps(data), encoding="utf-8")
    return bundle


def test_the_weights_of_another_network_are_refused(bundle):
    other = tiny_network(latent=9).state_dict()
    (bundle / WEIGHTS).write_bytes(safetensors.torch.save(other))
    assert "does not hold the weights" in refusal(resealed_by_hand(_rerecorded(bundle)))


def _rerecorded(bundle: Path) -> Path:
    data = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    data["files"] = {name: dataclasses.asdict(record_of((bundle / name).read_bytes())) for name in FILES}
    (bundle / MANIFEST).write_text(json.dumps(data), encoding="utf-8")
    return bundle


def test_weights_that_are_not_numbers_are_refused(bundle):
    weights = tiny_network().state_dict()
    next(iter(weights.values())).view(-1)[3] = float("nan")
    (bundle / WEIGHTS).write_bytes(safetensors.torch.save(weights))
    assert "not numbers" in refusal(resealed_by_hand(_rerecorded(bundle)))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"network": NetworkDescription("table99", SETTINGS)}, "table99"),
        ({"network": NetworkDescription("table52_vae", SETTINGS | {"size": 65})}, "64, 128, 256"),
        ({"network": NetworkDescription("table52_vae", SETTINGS | {"filters": 65})}, "filters"),
        ({"preprocessing": Preprocessing(HounsfieldWindow(), 128, 3.0)}, "128"),
        ({"noise_variance": 0.0}, "noise_variance"),
        ({"noise_variance": float("nan")}, "noise_variance"),
    ],
)
def test_a_description_that_does_not_fit_is_refused_when_it_is_read_and_when_it_is_written(
    bundle, tmp_path, changes, word
):
    assert word in refusal(resealed(bundle, **changes))
    with pytest.raises(UserError, match=word):
        write_tiny_bundle(tmp_path / "new", **changes)
    assert not (tmp_path / "new").exists()
    assert list(tmp_path.glob(".new*")) == []


def test_a_network_of_several_channels_is_refused_where_images_have_one(bundle):
    network = tiny_network(channels=2)
    (bundle / WEIGHTS).write_bytes(safetensors.torch.save(network.state_dict()))
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest["network"]["settings"]["channels"] = 2
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    assert "channel" in refusal(resealed_by_hand(_rerecorded(bundle)))


def test_an_existing_folder_is_never_written_over(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "precious.txt").write_text("keep")
    with pytest.raises(UserError, match="exists already"):
        write_tiny_bundle(tmp_path / "here")
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "precious.txt"]


def test_a_place_that_is_a_file_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="can't be written"):
        write_tiny_bundle(tmp_path / "file" / "model")
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="file size limits are POSIX")
def test_a_disk_that_fills_up_leaves_nothing(tmp_path):
    """The operating system itself ends the writing of the weights half-way, by a limit to the size of files."""
    script = f"""
        import resource, sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from SlicerVAELib.core.errors import UserError
        from Testing.headless.tiny_bundle import write_tiny_bundle
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            write_tiny_bundle(Path({str(tmp_path)!r}) / "new" / "place" / "model")
        except UserError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert "can't be written" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_place_leaves_nothing(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="can't be written"):
            write_tiny_bundle(tmp_path / "model")
        assert list(tmp_path.iterdir()) == []
    finally:
        tmp_path.chmod(0o700)


def test_the_preview_and_the_card_are_kept_as_given(original):
    assert (original / PREVIEW).read_bytes() == PREVIEW_PNG
    assert (original / CARD).read_text(encoding="utf-8") == "# A small model\n"
