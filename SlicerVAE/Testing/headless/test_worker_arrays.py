"""Arrays through files: what arrives, who may read it, and that nothing stays behind."""

import math
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.worker.arrays import Scratch
from SlicerVAELib.worker.client import worker_environment
from SlicerVAELib.worker.protocol import ArrayReference

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes and signals of POSIX")


real_types = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(endianness="?")
)
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1] if a.ndim else a,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "rotated": lambda a: np.moveaxis(a, 0, -1) if a.ndim else a,
    "repeated": lambda a: np.broadcast_to(a, (2, *a.shape)),
    "as bytes": lambda a: np.frombuffer(a.tobytes() or b"\0" * a.itemsize, a.dtype)[: a.size].reshape(a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@given(real_types, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0), st.integers(0, 99))
def test_an_array_arrives_bit_for_bit_and_its_file_is_gone(common_scratch, layout, dtype, shape, seed):
    random_bytes = np.random.default_rng(seed).bytes(math.prod(shape) * dtype.itemsize)
    array = np.frombuffer(random_bytes, np.uint8) & (1 if dtype.kind == "b" else 255)
    array = LAYOUTS[layout](array.view(dtype).reshape(shape))
    back = common_scratch.read(common_scratch.write(array))
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert back.flags.writeable
    assert list(common_scratch.folder.iterdir()) == []


def test_a_result_outlives_the_folder_and_may_be_changed(scratch):
    back = scratch.read(scratch.write(np.arange(1_000_000)))
    scratch.close()
    back += 1
    assert back[-1] == 1_000_000


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array([1j]), np.array(["2020"], "M8[D]")])
def test_what_is_no_real_number_is_refused(scratch, array):
    with pytest.raises(UserError, match="convert it to numbers"):
        scratch.write(array)
    assert list(scratch.folder.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full disk")
def test_a_full_disk_is_one_sentence_and_leaves_no_file(scratch, monkeypatch):
    open_file = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, mode=0o777: open_file("/dev/full", os.O_WRONLY))
    with pytest.raises(UserError, match=r"8 MB could not be written to .* \(No space left on device\); make room"):
        scratch.write(np.zeros(1_000_000))
    assert list(scratch.folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../secret.npy", "/etc/passwd", "", ".", "a/b.npy", "secret.npy", "\0", "0" * 32])
def test_a_path_that_leaves_the_folder_is_refused(scratch, name):
    np.save(scratch.folder.parent / "secret.npy", np.zeros(3))
    with pytest.raises(UserError, match="is refused: it is no file of"):
        scratch.read(ArrayReference(name, "<f8", (3,)))


@posix_only
def test_a_link_and_a_pipe_are_refused(scratch, tmp_path):
    np.save(tmp_path / "secret.npy", np.zeros(3))
    link, pipe = scratch.folder / f"{'a' * 32}.npy", scratch.folder / f"{'b' * 32}.npy"
    link.symlink_to(tmp_path / "secret.npy")
    os.mkfifo(pipe)
    for path in (link, pipe):
        with pytest.raises(UserError, match="not a plain file"):
            scratch.read(ArrayReference(path.name, "<f8", (3,)))
    assert (tmp_path / "secret.npy").exists()


@pytest.mark.parametrize(
    ("dtype", "shape", "reason"),
    [
        ("<f8", (4,), "it holds"),
        (">f8", (3,), "it holds"),
        ("<i8", (3,), "it holds"),
        ("<f8", (1, 3), "it holds"),
        ("<f8", (-3,), "it holds"),
    ],
)
def test_a_file_that_is_not_what_the_message_says_is_refused(scratch, dtype, shape, reason):
    reference = scratch.write(np.zeros(3))
    with pytest.raises(UserError, match=reason):
        scratch.read(ArrayReference(reference.file, dtype, shape))


@pytest.mark.parametrize("length", [0, 5, 60, 128, 151, 153])
def test_a_file_of_another_length_is_refused(scratch, length):
    reference = scratch.write(np.zeros(3))
    path = scratch.folder / reference.file
    path.write_bytes(path.read_bytes()[:length].ljust(length, b"\0"))
    with pytest.raises(UserError, match="can't be used"):
        scratch.read(reference)


def test_pickled_objects_are_never_loaded(scratch):
    path = scratch.folder / f"{'a' * 32}.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="can't be used"):
        scratch.read(ArrayReference(path.name, "|O", (1,)))


def test_a_missing_file_is_one_sentence(scratch):
    with pytest.raises(UserError, match="No such file"):
        scratch.read(ArrayReference(f"{'a' * 32}.npy", "<f8", (3,)))


@posix_only
def test_nobody_else_can_enter_the_folders_or_read_the_files(tmp_path):
    (tmp_path / f"slicervae-{os.getuid()}").mkdir(mode=0o755)
    scratch = Scratch.create(tmp_path)
    file = scratch.folder / scratch.write(np.zeros(3)).file
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (scratch.folder.parent, scratch.folder, file)]
    assert modes == [0o700, 0o700, 0o600]
    scratch.close()


@posix_only
def test_a_folder_that_is_a_link_is_refused(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / f"slicervae-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a link, or others can enter it"):
        Scratch.create(tmp_path)
    with pytest.raises(UserError, match="is a link, or others can enter it"):
        Scratch(tmp_path / f"slicervae-{os.getuid()}")


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_of_somebody_else_is_refused(tmp_path):
    folder = tmp_path / f"slicervae-{os.getuid()}"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(UserError, match="others can enter it"):
        Scratch.create(tmp_path)


def test_a_temporary_folder_that_does_not_exist_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="can't be made"):
        Scratch.create(tmp_path / "nowhere")


def test_close_leaves_no_trace(tmp_path):
    scratch = Scratch.create(tmp_path)
    scratch.write(np.zeros(3))
    scratch.close()
    assert not scratch.folder.exists()
    assert [path.name for path in scratch.folder.parent.iterdir()] == ["lock"]


CLIENT = """
import sys, time
from pathlib import Path
import numpy as np
from SlicerVAELib.worker.arrays import Scratch
scratch = Scratch.create(Path(sys.argv[1]))
scratch.write(np.zeros(10))
print(scratch.folder, flush=True)
time.sleep(float(sys.argv[2]))
"""


def start_client(tmp_path, seconds):
    command = [sys.executable, "-c", CLIENT, str(tmp_path), str(seconds)]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=worker_environment())
    return client, Path(client.stdout.readline().strip())


def test_the_folder_goes_when_its_process_exits(tmp_path):
    client, folder = start_client(tmp_path, 0)
    client.communicate(timeout=20)
    assert not folder.exists() and folder.parent.exists()


@posix_only
def test_the_next_client_deletes_what_a_killed_one_left_and_nothing_of_a_living_one(tmp_path):
    (killed, left_behind), (living, in_use) = start_client(tmp_path, 60), start_client(tmp_path, 60)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=20)
    assert left_behind.exists()
    scratch = Scratch.create(tmp_path)
    assert not left_behind.exists()
    assert len(list(in_use.iterdir())) == 1
    assert scratch.folder.exists()
    scratch.close()
    living.kill()
    living.communicate(timeout=20)


@posix_only
def test_a_fork_does_not_delete_its_parents_folder(scratch):
    child = os.fork()
    if child == 0:
        scratch.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert scratch.folder.exists()


def test_two_clients_in_one_process_have_folders_of_their_own(tmp_path):
    first, second = Scratch.create(tmp_path), Scratch.create(tmp_path)
    reference = first.write(np.arange(3))
    with pytest.raises(UserError):
        second.read(reference)
    second.close()
    assert first.read(reference).tolist() == [0, 1, 2]
    first.close()


def test_only_a_dead_owners_folder_is_deleted_by_the_worker(tmp_path):
    owner = Scratch.create(tmp_path)
    began = time.monotonic()
    Scratch(owner.folder).remove_if_orphan()
    assert owner.folder.exists()
    assert time.monotonic() - began < 1
    by_hand = tmp_path / "by_hand"
    by_hand.mkdir(mode=0o700)
    Scratch(by_hand).remove_if_orphan()
    assert by_hand.exists()
    owner.close()
