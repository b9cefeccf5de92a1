"""Every file that pydicom and nibabel bring for their own tests gives a volume or one sentence, and quickly."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import pydicom
import pytest

PACKAGE = Path(__file__).resolve().parents[2]
_SECONDS = 10.0  # a file; the largest takes a fraction of one
_GIGABYTE = 1 << 30

# A process of its own: its peak of memory is that of the readers alone.
_READ_ALL = """
import json, resource, shutil, sys, tempfile, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.io.read import read_volume
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
results = []

def offer(path):
    start = time.process_time()
    try:
        volume = read_volume(path)
        said = f"volume {volume.array.shape}"
    except UserError as error:
        said = str(error)
    except BaseException as error:
        said = f"TRACEBACK {type(error).__name__}: {error}"
    results.append((str(path), said, time.process_time() - start))

for path in sorted(Path(sys.argv[2]).rglob("*")):
    offer(path)
    if path.is_file():  # and by itself, where no other series can be chosen and no other file be damaged
        with tempfile.TemporaryDirectory() as folder:
            offer(Path(shutil.copy(path, folder)))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([results, peak * 1024]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is told in other units there")
@pytest.mark.parametrize(
    ("folder", "most", "volumes"),
    [
        (Path(pydicom.__file__).parent / "data" / "test_files", 250, 15),
        (Path(nibabel.__file__).parent / "tests" / "data", 150, 8),
    ],
    ids=["pydicom", "nibabel"],
)
def test_each_file_gives_a_volume_or_a_sentence(folder, most, volumes):
    if not folder.is_dir():
        pytest.skip(f"{folder} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", _READ_ALL, str(PACKAGE), str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert done.stderr == ""
    results, peak = json.loads(done.stdout)
    assert len(results) >= most
    assert sum(said.startswith("volume") for _, said, _ in results) >= volumes
    for path, said, seconds in results:
        assert seconds < _SECONDS, path
        assert not said.startswith("TRACEBACK"), f"{path}: {said}"
        if not said.startswith("volume"):
            first, *rows = said.split("\n")
            assert first and (not rows or "--series" in first), f"{path}: {said}"
    assert peak < _GIGABYTE
