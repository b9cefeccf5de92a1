"""Files are written whole or not at all, and volumes come back as they were."""

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Geometry
from SlicerVAELib.io.read import read_volume
from SlicerVAELib.io.write import OutputFolder, write_bytes_atomically, write_json_atomically, write_volume
from Testing.headless.ordinary_person import ordinary_person, reachable_folder

UNIT = Geometry((2, 3, 4), np.eye(4))
PACKAGE = Path(__file__).resolve().parents[2]


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    kind=st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]),
    shape=st.tuples(*[st.integers(2, 6)] * 3),
    angles=st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    spacing=st.tuples(*[st.floats(0.05, 20)] * 3),
    origin=st.tuples(*[st.floats(-2000, 2000)] * 3),
)
def test_volumes_come_back_exactly(tmp_path_factory, data, kind, shape, angles, flips, spacing, origin):
    elements = {"allow_nan": False, "allow_infinity": False} if np.issubdtype(kind, np.floating) else {}
    array = data.draw(arrays.arrays(kind, shape, elements=arrays.from_dtype(np.dtype(kind), **elements)))
    matrix = np.eye(4)
    turn = np.array(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()).reshape(3, 3)
    matrix[:3, :3], matrix[:3, 3] = turn @ np.diag(flips) * spacing, origin
    path = tmp_path_factory.mktemp("volume") / "a.nrrd"
    write_volume(path, array, Geometry(shape, matrix))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, array)
    assert volume.array.dtype == array.dtype
    np.testing.assert_allclose(volume.geometry.ijk_to_ras, matrix, atol=1e-6, rtol=0)
    shutil.rmtree(path.parent)


def test_a_real_ct_comes_back_as_it_was_and_is_smaller(tmp_path, shared_data):
    source = shared_data / "totalsegmentator" / "thorax_ct_a.nii.gz"
    volume = read_volume(source)
    write_volume(tmp_path / "ct.nrrd", volume.array, volume.geometry)
    again = read_volume(tmp_path / "ct.nrrd")
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.geometry.ijk_to_ras, nibabel.load(source).affine, atol=1e-6)
    assert (tmp_path / "ct.nrrd").stat().st_size < 0.8 * volume.array.nbytes


def test_fields_stand_in_the_header(tmp_path):
    fields = {"SlicerVAE.Bundle": "chest", "SlicerVAE.Parameters": '{"a": 1,\n "b": "größer"}'}
    write_volume(tmp_path / "a.nrrd", np.ones(UNIT.shape, bool), UNIT, fields=fields)
    image = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    assert image.GetMetaData("SlicerVAE.Bundle") == "chest"
    assert json.loads(image.GetMetaData("SlicerVAE.Parameters")) == {"a": 1, "b": "größer"}
    assert image.GetPixelID() == sitk.sitkUInt8 and everything(tmp_path) == ["a.nrrd"]


def test_output_appears_only_when_all_is_written(tmp_path):
    with OutputFolder(tmp_path / "deep" / "out") as folder:
        (folder / "a.txt").write_text("a")
        (folder / "sub").mkdir()
        (folder / "sub" / "b.txt").write_text("b")
        assert not (tmp_path / "deep" / "out").exists()
    assert everything(tmp_path) == ["deep", "deep/out", "deep/out/a.txt", "deep/out/sub", "deep/out/sub/b.txt"]


def test_other_files_of_an_existing_folder_stay(tmp_path):
    (tmp_path / "kept.txt").write_text("kept")
    (tmp_path / "a.txt").write_text("old")
    with OutputFolder(tmp_path) as folder:
        (folder / "a.txt").write_text("new")
    assert everything(tmp_path) == ["a.txt", "kept.txt"]
    assert (tmp_path / "a.txt").read_text() == "new" and (tmp_path / "kept.txt").read_text() == "kept"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError, UserError])
def test_nothing_remains_when_work_ends_early(tmp_path, stop):
    def work(out: Path) -> None:
        with OutputFolder(out) as folder:
            (folder / "a.txt").write_text("new")
            raise stop("stopped")

    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.txt").write_text("old")
    for out in (tmp_path / "new" / "out", tmp_path / "there"):
        with pytest.raises(stop, match="stopped"):
            work(out)
    assert everything(tmp_path) == ["there", "there/a.txt"]
    assert (tmp_path / "there" / "a.txt").read_text() == "old"


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="is a file"), OutputFolder(tmp_path / "out"):
        pass
    with pytest.raises(UserError, match="can't be written"), OutputFolder(tmp_path / "out" / "deeper"):
        pass
    (tmp_path / "there" / "a.txt").mkdir(parents=True)
    with pytest.raises(UserError, match="a folder stands in its place"), OutputFolder(tmp_path / "there") as folder:
        (folder / "0.txt").write_text("before it")
        (folder / "a.txt").write_text("in its place")
    assert everything(tmp_path) == ["out", "there", "there/a.txt"]


def test_trouble_with_a_file_that_is_read_meanwhile_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), OutputFolder(tmp_path / "out"):
        (tmp_path / "nowhere").read_text()


def test_a_full_disk_while_writing_becomes_a_sentence_that_names_the_folder(tmp_path):
    with pytest.raises(UserError, match=f"The disk of {tmp_path / 'out'} is full"), OutputFolder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert everything(tmp_path) == []


WRITERS = {
    "bytes": "write_bytes_atomically(out / 'a.bin', bytes(3_000_000))",
    "volume": "write_volume(out / 'a.nrrd', noise, grid)",
    "folder": "\nwith OutputFolder(out / 'result') as folder:\n    write_volume(folder / 'a.nrrd', noise, grid)",
}


def run_writer(out: Path, writer: str, before: str = "") -> subprocess.CompletedProcess:
    code = f"""
import sys, signal, resource
from pathlib import Path
import numpy as np
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Geometry
from SlicerVAELib.io.write import OutputFolder, write_bytes_atomically, write_volume
out = Path({str(out)!r})
noise = np.random.default_rng(0).integers(0, 30000, (10, 300, 500)).astype(np.int16)
grid = Geometry(noise.shape, np.eye(4))
{before}
try:
{textwrap.indent(WRITERS[writer], "    ")}
except UserError as error:
    sys.stdout.write(str(error))
"""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(PACKAGE)}
    )


@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_that_takes_no_more_is_told_and_nothing_remains(tmp_path, writer):
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    done = run_writer(tmp_path, writer, limit)
    assert done.stderr == "" and str(tmp_path) in done.stdout and "\n" not in done.stdout
    assert "is full" in done.stdout or "takes no more data" in done.stdout
    assert everything(tmp_path) == []


@pytest.mark.parametrize("writer", WRITERS)
def test_a_really_full_disk_is_told_with_what_is_needed(tmp_path, writer):
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        done = run_writer(place, writer)
        name = {"bytes": "a.bin", "volume": "a.nrrd", "folder": "result/a.nrrd"}[writer]
        assert done.stdout == f"The disk of {place / name} is full; free at least 3 MB and try again."
        assert done.stderr == "" and everything(place) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(os.name != "posix", reason="rights are told otherwise there")
def test_a_folder_that_may_not_be_written_is_named():
    with reachable_folder() as folder:
        folder.chmod(0o555)
        with ordinary_person():
            for write in (
                lambda: write_bytes_atomically(folder / "a", b"x"),
                lambda: write_volume(folder / "a.nrrd", np.zeros(UNIT.shape), UNIT),
                lambda: OutputFolder(folder / "out").__enter__(),
                lambda: OutputFolder(folder / "deep" / "out").__enter__(),
            ):
                with pytest.raises(UserError, match=f"{folder}/.* you may not write there"):
                    write()
        assert everything(folder) == []


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="its folder does not exist"):
        write_bytes_atomically(tmp_path / "nowhere" / "a", b"x")
    with pytest.raises(UserError, match="its folder does not exist"):
        write_volume(tmp_path / "nowhere" / "a.nrrd", np.zeros(UNIT.shape), UNIT)


def test_json_replaces_the_old_file_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_json_atomically(path, {"name": "größer", "values": (1, 2)})
    with pytest.raises(ValueError):
        write_json_atomically(path, {"loss": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "größer", "values": [1, 2]}
    assert everything(tmp_path) == ["a.json"]
