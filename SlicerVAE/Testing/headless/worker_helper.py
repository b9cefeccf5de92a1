"""A small real engine, and the worker that serves it as the real worker serves its own.

``anomaly.method`` of a request names what the engine does; "echo" gives back every array that it was sent.
Run as ``python worker_helper.py --scratch FOLDER``.
"""

import ctypes
import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from SlicerVAELib.core.engine import (
    AnomalyOptions,
    DecodeRequest,
    EncodedVolume,
    EncodeRequest,
    EngineInfo,
    LatentsRequest,
    Provenance,
    Reconstruction,
    ReconstructRequest,
    SliceLatents,
    Synthesis,
    SynthesizeRequest,
)
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import Cancel, Listener, Progress, ignore
from SlicerVAELib.core.volume import Geometry, Volume
from SlicerVAELib.worker.__main__ import take_pipes
from SlicerVAELib.worker.arrays import Scratch
from SlicerVAELib.worker.server import serve

COMMAND = [sys.executable, str(Path(__file__).resolve())]
STEPS = 401


def request(method: str = "echo", array: np.ndarray | None = None, **changes) -> ReconstructRequest:
    """A request that makes SmallEngine do ``method``; ``changes`` replace fields of its Volume."""
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4) if array is None else array
    fields = {"array": array, "geometry": Geometry(array.shape, np.eye(4)), **changes}
    return ReconstructRequest(Path("models") / "tiny", Volume(**fields), anomaly=AnomalyOptions(method))


class SmallEngine:
    """Does as it is told, without torch."""

    def info(self) -> EngineInfo:
        return EngineInfo(os.getpid(), "test", "", ("cpu",), {"cpu": 0})

    def reconstruct(
        self, request: ReconstructRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> Reconstruction:
        arrays = getattr(_Work(request.volume, progress, cancel or Cancel()), request.anomaly.method)()
        return Reconstruction(
            arrays=arrays or {},
            anomaly_unit=f"{request.outputs} {request.sample_seed} {request.hardware}",
            window=(-1000.0, 0.1 + 0.2),
            slice_scores=(1e-300, 1 / 3),
            slice_positions_mm=(0.0, 1.5),
            timings={"$array": 1.0},
            notices=(str(request.volume.source), str(request.bundle)),
            provenance=Provenance("tiny", "1", "0", "test", request.volume.modality, {"$path": "Röntgen \udcff"}),
        )

    def synthesize(
        self, request: SynthesizeRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> Synthesis:
        (cancel or Cancel()).check()
        images = np.random.default_rng(request.seed).standard_normal((request.count, 8, 8)).astype(np.float32)
        progress(Progress(1.0, "done"))
        return Synthesis(images, 1.0, (0.0, 1.0), {}, (), Provenance("tiny", "1", "0", "test", "MR"))

    def encode(
        self, request: EncodeRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> EncodedVolume:
        raise UserError("The small engine has no posterior.")

    def decode(self, request: DecodeRequest, progress: Listener = ignore, cancel: Cancel | None = None) -> Synthesis:
        raise UserError("The small engine has no decoder.")

    def latents(
        self, request: LatentsRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> SliceLatents:
        raise UserError("The small engine has no encoder.")

    def close(self) -> None:
        """Nothing is held."""


@dataclasses.dataclass
class _Work:
    volume: Volume
    progress: Listener
    cancel: Cancel

    def echo(self) -> dict[str, np.ndarray]:
        return {"image": self.volume.array, "ijk_to_ras": self.volume.geometry.ijk_to_ras, **self.volume.masks}

    def three_maps(self) -> dict[str, np.ndarray]:
        image = self.volume.array.astype(np.float32)
        return {"reconstruction": image, "residual": image + 1, "anomaly": image + 2}

    def changes_its_input(self) -> dict[str, np.ndarray]:
        self.volume.array[...] = 99
        return {"image": self.volume.array}

    def polls(self) -> None:
        for step in range(2000):
            self.cancel.check()
            self.progress(Progress(step / 2000, "stepping", 0.01 * (2000 - step)))
            time.sleep(0.01)

    def steps(self) -> None:
        for step in range(STEPS):
            self.progress(Progress(step / (STEPS - 1), "stepping"))
            time.sleep(0.001)

    def sticks(self) -> None:
        self.progress(Progress(0.0, "stuck"))
        time.sleep(60)

    def sticks_in_c(self) -> None:
        self.progress(Progress(0.0, "stuck"))
        ctypes.PyDLL(None).sleep(60)  # keeps the interpreter's lock, so that no other thread runs

    def crashes(self) -> None:
        ctypes.string_at(0)

    def exits(self) -> None:
        sys.stderr.write("first line\nthe licence server is away.\n")
        sys.stderr.flush()
        os._exit(3)

    def complains(self) -> None:
        raise UserError("The bundle is damaged; export it again.")

    def runs_out_of_memory(self) -> None:
        np.empty((2**50,))

    def has_a_bug(self) -> None:
        raise KeyError("weights")

    def returns_no_number(self) -> dict[str, np.ndarray]:
        return {"image": self.volume.array, "names": np.array(["a", "b"])}

    def prints(self) -> dict[str, np.ndarray]:
        sys.stdout.write('{"kind": "result", "id": 1, "result": {}}\n')
        sys.stdout.flush()
        os.write(1, b'{"kind": "failed", "id": 1, "error": "user", "message": "forged"}\n\xff\x00\n')
        child = "import sys; sys.stdout.write('child read ' + repr(sys.stdin.read()) + chr(10))"
        subprocess.run([sys.executable, "-S", "-c", child], check=True, timeout=20)
        sys.stderr.write("x" * 1_000_000)
        return {"image": self.volume.array}


if __name__ == "__main__":
    stdin, stdout = take_pipes()
    serve(SmallEngine, stdin, stdout, Scratch(Path(sys.argv[sys.argv.index("--scratch") + 1])))
