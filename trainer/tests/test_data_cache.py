"""The cache: never out of date, shared, whole or not at all; and the source of images over its entries."""

import os
import shutil
import subprocess
import sys
import textwrap

import nibabel
import numpy as np
import pytest
import torch

from slicervae.data.cache import Cache, Prepared, open_images
from slicervae.data.content import content_of, key_of
from slicervae.data.mapped import MOST_OPEN, MappedImages
from slicervae.data.preparation import decide, images_of
from slicervae.data.study import Study
from slicervae.recipe import load_recipe
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.progress import Cancel, ignore
from SlicerVAELib.io.discover import discover

KEY = "ab" * 32


def some_images(seed: int = 0, count: int = 5, with_mask: bool = False) -> Prepared:
    generator = np.random.default_rng(seed)
    images = generator.random((count, 2, 8, 8), dtype=np.float32)
    return Prepared(images, (generator.random((count, 1, 8, 8)) < 0.9).astype(np.uint8) if with_mask else None)


def never() -> Prepared:
    raise AssertionError("the entry was there")


def entries(folder):
    return sorted(path.name for path in folder.rglob("seal.json"))


def prepared(data, cache, *changes):
    recipe = load_recipe("vae50", ["size=64", "validation_share=0", *changes])
    network = build(recipe.network.family, recipe.network.settings)
    record = decide(recipe, data, network, 0, Cache(cache), ignore, Cancel())
    training, _ = images_of(recipe, record, Cache(cache), ignore, Cancel())
    return training.batch(torch.arange(len(training))).images


@pytest.fixture
def cohort(mr_cohort, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(mr_cohort / "patient01", data / "patient01")
    return data


@pytest.mark.parametrize("with_mask", [False, True])
def test_an_entry_is_made_once_and_mapped(tmp_path, with_mask):
    cache, content = Cache(tmp_path), some_images(with_mask=with_mask)
    place = cache.images(KEY, lambda: content)
    assert cache.images(KEY, never) == place
    entry = open_images(place)
    assert isinstance(entry.images, np.memmap)
    assert np.array_equal(entry.images, content.images)
    assert (entry.kept is None) == (content.kept is None)
    assert not with_mask or np.array_equal(entry.kept, content.kept)
    assert cache.bytes_used() > content.images.nbytes


def test_a_changed_file_is_read_anew_even_with_its_old_date_and_size(cohort, tmp_path):
    cache, path = tmp_path / "cache", cohort / "patient01" / "FLAIR.nii.gz"
    plain = path.with_suffix("")  # uncompressed, so that a changed value changes no length
    nibabel.save(nibabel.load(path), plain)
    path.unlink()
    first = prepared(cohort, cache)
    before = plain.stat()
    content = bytearray(plain.read_bytes())
    content[-30_000:] = bytes(30_000)
    plain.write_bytes(content)
    os.utime(plain, ns=(before.st_atime_ns, before.st_mtime_ns))
    code = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        import torch
        from pathlib import Path
        from slicervae.data.cache import Cache
        from slicervae.data.preparation import decide, images_of
        from slicervae.recipe import load_recipe
        from SlicerVAELib.core.networks import build
        from SlicerVAELib.core.progress import Cancel, ignore
        recipe = load_recipe("vae50", ["size=64", "validation_share=0"])
        network = build(recipe.network.family, recipe.network.settings)
        cache, data = Cache(Path({str(cache)!r})), Path({str(cohort)!r})
        record = decide(recipe, data, network, 0, cache, ignore, Cancel())
        training, _ = images_of(recipe, record, cache, ignore, Cancel())
        torch.save(training.batch(torch.arange(len(training))).images, {str(tmp_path / "second.pt")!r})
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)  # as the next command would
    second = torch.load(tmp_path / "second.pt", weights_only=True)
    assert not torch.equal(first, second)
    plain.touch()
    number = len(entries(cache))
    torch.testing.assert_close(prepared(cohort, cache), second)
    assert len(entries(cache)) == number, "a new date alone makes no new entry"


def test_a_changed_setting_has_entries_of_its_own(cohort, tmp_path):
    cache = tmp_path / "cache"
    first = prepared(cohort, cache)
    number = len(entries(cache))
    assert torch.equal(prepared(cohort, cache), first)
    assert len(entries(cache)) == number
    for change in ("spacing_mm=4", "upper=80", "centre=grid", "slice_step_mm=6"):
        changed = prepared(cohort, cache, change)
        assert changed.shape != first.shape or not torch.equal(changed, first), change
    assert torch.equal(prepared(cohort, cache), first)
    shutil.rmtree(cache)
    assert torch.equal(prepared(cohort, cache), first)


def test_swapped_channels_and_renamed_masks_are_another_content(mr_cohort, tmp_path):
    one, other = discover(mr_cohort)[:2]
    mask, renamed = tmp_path / "lesions.nii.gz", tmp_path / "heart.nii.gz"
    for path in (mask, renamed):
        path.write_bytes(b"the same")
    studies = [
        Study("p", "s", {"A": one, "B": other}),
        Study("p", "s", {"A": other, "B": one}),
        Study("p", "s", {"B": one, "A": other}),
        Study("p", "s", {"A": one, "B": other}, (mask,)),
        Study("p", "s", {"A": one, "B": other}, (renamed,)),
    ]
    keys = {key_of("images", content_of(study)) for study in studies}
    assert len(keys) == len(studies)
    moved = Study("q", "elsewhere", studies[0].images)
    assert content_of(moved) == content_of(studies[0])


def test_the_values_beside_a_header_count(tmp_path):
    import SimpleITK as sitk

    path = tmp_path / "a" / "ct.mhd"
    path.parent.mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5)), str(path))
    study = Study("a", "a", {"": discover(tmp_path)[0]})
    first = content_of(study)
    raw = path.with_suffix(".raw")
    raw.write_bytes(raw.read_bytes()[:-2] + b"\x07\x07")
    os.utime(raw, ns=(1, 1))
    assert content_of(study) != first


@pytest.mark.parametrize(
    "how", ["cut", "emptied", "flipped", "without a seal", "without its mask", "a file", "torn seal"]
)
def test_a_damaged_entry_is_made_anew(tmp_path, how):
    cache, content = Cache(tmp_path), some_images(with_mask=True)
    place = cache.images(KEY, lambda: content)
    images, seal = place / "images.npy", place / "seal.json"
    if how == "cut":
        images.write_bytes(images.read_bytes()[:-100])
    elif how == "emptied":
        images.write_bytes(b"")
    elif how == "flipped":
        data = bytearray(images.read_bytes())
        data[-7] ^= 1
        images.write_bytes(data)
    elif how == "without a seal":
        seal.unlink()
    elif how == "without its mask":
        (place / "kept.npy").unlink()
    elif how == "a file":
        shutil.rmtree(place)
        place.write_bytes(b"what is this")
    else:
        seal.write_text('{"images.npy": ')
    if how == "a file":
        with pytest.raises(UserError, match="can't be written"):
            cache.images(KEY, lambda: content)
        return
    cache.images(KEY, lambda: content)
    assert np.array_equal(open_images(place).images, content.images)
    assert cache.images(KEY, never) == place
    assert [path.name for path in place.parent.iterdir()] == [KEY], "nothing is left behind"


def test_a_damaged_record_is_learned_anew(tmp_path):
    cache = Cache(tmp_path)
    assert cache.record(KEY, lambda: {"step": 3.5}) == {"step": 3.5}
    assert cache.record(KEY, never) == {"step": 3.5}
    seal = next(tmp_path.rglob("seal.json"))
    seal.write_text(seal.read_text().replace("3.5", "4.5"))
    assert cache.record(KEY, lambda: {"step": 3.5}) == {"step": 3.5}
    assert cache.record(KEY, never) == {"step": 3.5}


def test_two_processes_fill_the_same_cache_at_once(tmp_path):
    code = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        import time
        from pathlib import Path
        import numpy as np
        from slicervae.data.cache import Cache, Prepared, open_images
        cache, start = Cache(Path({str(tmp_path / "cache")!r})), float(sys.argv[1])
        time.sleep(max(0, start - time.time()))
        for number in range(40):
            images = np.full((3, 1, 64, 64), number, np.float32)
            place = cache.images(f"{{number:02x}}" * 32, lambda: Prepared(images, None))
            assert np.array_equal(open_images(place).images, images)
    """
    import time

    start = str(time.time() + 3)
    running = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), start], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in running:
        error = process.communicate(timeout=60)[1]
        assert process.returncode == 0, error
    assert len(entries(tmp_path / "cache")) == 40
    assert list((tmp_path / "cache").rglob(".*")) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    code = f"""
        import resource, signal, sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        import numpy as np
        from slicervae.data.cache import Cache, Prepared
        from SlicerVAELib.core.errors import UserError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        content = Prepared(np.ones((9, 1, 64, 64), "f"), None)
        try:
            Cache(Path({str(tmp_path / "cache")!r})).images({KEY!r}, lambda: content)
        except UserError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert "is full; free some space" in done.stdout
    assert "--cache" in done.stdout
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_cache_that_can_not_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="name another folder with --cache"):
        Cache(tmp_path / "file").images(KEY, some_images)


def test_the_folder_is_the_users_own_and_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SLICERVAE_CACHE", str(tmp_path / "named"))
    assert Cache().folder == tmp_path / "named"
    monkeypatch.delenv("SLICERVAE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert Cache().folder == tmp_path / "xdg" / "slicervae"
    cache = Cache(tmp_path / "private")
    cache.images(KEY, some_images)
    assert (tmp_path / "private").stat().st_mode & 0o077 == 0, "images of patients are nobody else's to read"


def test_batches_are_gathered_across_entries_in_any_order(tmp_path):
    contents = [some_images(seed, count, seed == 1) for seed, count in enumerate((5, 1, 7))]
    cache = Cache(tmp_path)
    source = MappedImages([cache.images(f"{n:064x}", lambda c=c: c) for n, c in enumerate(contents)])
    assert len(source) == 13
    whole = np.concatenate([content.images for content in contents])
    kept = np.concatenate([np.ones((len(c.images), 1, 8, 8)) if c.kept is None else c.kept for c in contents])
    order = torch.randperm(13, generator=torch.Generator().manual_seed(0))
    batch = source.batch(torch.cat([order, order[:4]]))
    assert batch.images.dtype == batch.kept.dtype == torch.float32
    wanted = [*order.tolist(), *order[:4].tolist()]
    assert np.array_equal(batch.images.numpy(), whole[wanted])
    assert np.array_equal(batch.kept.numpy(), kept[wanted])
    assert MappedImages([cache.images(f"{0:064x}", never)]).batch(torch.tensor([3])).kept is None
    assert len(MappedImages([])) == 0


def test_more_entries_than_files_can_be_open_are_read(tmp_path):
    count = MOST_OPEN + 40
    places = [tmp_path / f"{number:03d}" for number in range(count)]
    for number, place in enumerate(places):
        place.mkdir()
        np.save(place / "images.npy", np.full((2, 1, 2, 2), number, np.float32))
    code = f"""
        import resource, sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        import torch
        from slicervae.data.mapped import MappedImages
        resource.setrlimit(resource.RLIMIT_NOFILE, ({MOST_OPEN + 30}, {MOST_OPEN + 30}))
        source = MappedImages([Path(line) for line in sys.stdin.read().split()])
        images = source.batch(torch.arange(len(source))).images
        assert torch.equal(images[:, 0, 0, 0], torch.arange({count}).repeat_interleave(2).float())
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], input="\n".join(map(str, places)), text=True, check=True
    )


def test_an_entry_that_vanishes_is_told_in_one_sentence(tmp_path):
    source = MappedImages([Cache(tmp_path).images(KEY, some_images)])
    shutil.rmtree(tmp_path)
    assert len(source.batch(torch.tensor([0])).images) == 1, "what is mapped stays"
    with pytest.raises(UserError, match="lost its entry"):
        MappedImages(source._places)
