"""How fast the engine is: against the bare network, and through the worker against in process.

Everything compared is timed in turn within one run, and ratios of medians are reported, because machines are shared.
"""

import contextlib
import dataclasses
import functools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from SlicerVAELib.core.bundle import load_network, write_bundle
from SlicerVAELib.core.declaration import Declaration
from SlicerVAELib.core.engine import DecodeRequest, ReconstructRequest
from SlicerVAELib.core.errors import Cancelled
from SlicerVAELib.core.local_engine import SOFTWARE, LocalEngine
from SlicerVAELib.core.manifest import FORMAT, FORMAT_VERSION, Manifest, NetworkDescription
from SlicerVAELib.core.networks import Network, build
from SlicerVAELib.core.placement import CPU_BATCH_PIXELS
from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
from SlicerVAELib.core.progress import Cancel, Listener, Meter, Progress
from SlicerVAELib.core.stack import prepare
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.worker.client import WorkerEngine

from ..phantom import make_patient
from .figure import Figure
from .timing import timed

SIZE, SLICES, MODEL_SIZE = 512, 100, 256
OUTPUTS = ("reconstruction", "residual")
COLD_STARTS = 3
EXPLORED_SIZE, SLIDER_STEPS = 128, 10


def measure(runs: int, listener: Listener) -> list[Figure]:
    """Measure with ``runs`` repetitions of each; a phantom CT of 512×512×100, a 256-pixel model with random weights."""
    with tempfile.TemporaryDirectory() as place:
        bundle = _bundle(Path(place) / "bundle", MODEL_SIZE)
        volume = make_patient(1, 1, size=SIZE, slices=SLICES).volume.replace(masks={})
        request = ReconstructRequest(bundle, volume, outputs=OUTPUTS)
        meter = Meter(listener, "measuring", 5 * (runs + 1) + COLD_STARTS)
        figures = _against_the_network(request, runs, meter)
        figures += _through_the_worker(request, runs, meter)
        figures += _explored(Path(place) / "small", runs, meter)
        figures += _cancelled(request, runs, meter)
    return figures + _starts(meter)


def _bundle(folder: Path, size: int) -> Path:
    torch.manual_seed(0)
    network = build("table52_vae", {"size": size})
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        name="benchmark",
        version="0",
        created="",
        software=SOFTWARE,
        recipe="vae50",
        network=NetworkDescription("table52_vae", {"size": size}),
        preprocessing=Preprocessing(HounsfieldWindow(), size, 500 / size),
        declaration=Declaration(Modality.CT, "CHEST", 500.0, (1.0, 10.0), 0, "none: random weights"),
        noise_variance=0.01,
    )
    write_bundle(folder, manifest, network, card="", preview=b"")
    return folder


def _against_the_network(request: ReconstructRequest, runs: int, meter: Meter) -> list[Figure]:
    engine, network = LocalEngine(), load_network(request.bundle)
    pixels = prepare(request.volume, Preprocessing(HounsfieldWindow(), MODEL_SIZE, 500 / MODEL_SIZE)).pixels
    bare, ours, resampling = [], [], []
    for run in range(runs + 1):
        bare_seconds, _ = timed(lambda: _bare_passes(network, pixels))
        seconds, result = timed(lambda: engine.reconstruct(request))
        meter.advance(2)
        if run == 0:  # a warm-up: first calls allocate
            continue
        between = result.timings["resample to model"] + result.timings["resample to input"]
        bare.append(bare_seconds)
        resampling.append(between)
        ours.append(seconds - between)
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    what = f"{SIZE}×{SIZE}×{SLICES} CT at {MODEL_SIZE}²"
    return [
        Figure(f"reconstruct + residual of a {what}, without resampling, to bare network passes", ratio, "×", 1.3),
        Figure(f"resampling both ways of a {what}", statistics.median(resampling), "s", 1.0),
        Figure(f"bare network passes over {SLICES} slices at {MODEL_SIZE}²", statistics.median(bare), "s"),
    ]


def _bare_passes(network: Network, pixels: torch.Tensor) -> torch.Tensor:
    batch = max(1, CPU_BATCH_PIXELS // MODEL_SIZE**2)
    with torch.inference_mode():
        return torch.cat([network.reconstruct(pixels[n : n + batch]) for n in range(0, len(pixels), batch)])


def _through_the_worker(request: ReconstructRequest, runs: int, meter: Meter) -> list[Figure]:
    local = LocalEngine()
    ratios = []
    with WorkerEngine() as worker:
        for run in range(runs + 1):
            inside, _ = timed(lambda: local.reconstruct(request))
            through, _ = timed(lambda: worker.reconstruct(request))
            meter.advance(1)
            if run > 0:
                ratios.append(through / inside)
    return [Figure("reconstruct + residual through the worker to in process", statistics.median(ratios), "×", 1.15)]


def _explored(folder: Path, runs: int, meter: Meter) -> list[Figure]:
    """What a slider of the latent explorer waits for, and how often the picture follows it."""
    bundle = _bundle(folder, EXPLORED_SIZE)
    shape = load_network(bundle).latent.shape
    seconds = []
    with WorkerEngine() as worker:
        for run in range(runs + 1):
            # As many as a person's slider asks for while it is moved once.
            for step in range(SLIDER_STEPS):
                request = DecodeRequest(bundle, np.full((1, *shape), step / SLIDER_STEPS, np.float32))
                taken, _ = timed(functools.partial(worker.decode, request))
                if run > 0:
                    seconds.append(taken)
            meter.advance(1)
    median = statistics.median(seconds)
    what = f"at {EXPLORED_SIZE}² through the warm worker"
    return [
        Figure(f"one slice decoded {what}", median * 1000, "ms", 50.0),
        Figure(f"pictures a second, decoded one by one {what}", 1 / median, "1/s", 10.0, "at least"),
    ]


def _cancelled(request: ReconstructRequest, runs: int, meter: Meter) -> list[Figure]:
    """How long a person waits after a press on Cancel in the middle of a run."""
    waits = []
    with WorkerEngine() as worker:
        for run in range(runs + 1):
            pressed = _Press(Cancel())
            with contextlib.suppress(Cancelled):
                worker.reconstruct(request, pressed, pressed.cancel)
            if run > 0:
                waits.append(time.perf_counter() - pressed.at_s)
            meter.advance(1)
    return [Figure("Cancel of a reconstruction in the worker, the longest wait", max(waits), "s", 1.0)]


@dataclasses.dataclass
class _Press:
    """A listener who presses Cancel once, in the middle of the network's passes."""

    cancel: Cancel
    at_s: float = 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.fraction > 0.3 and not self.at_s:
            self.at_s = time.perf_counter()
            self.cancel.request()


def _starts(meter: Meter) -> list[Figure]:
    ready = []
    for _ in range(COLD_STARTS):
        with WorkerEngine() as worker:
            seconds, _ = timed(worker.info)
        ready.append(seconds)
        meter.advance(1)
    # What Slicer imports of ours at its start: the library's name and nothing behind it.
    light = _seconds_of("import SlicerVAELib") - _seconds_of("pass")
    helped = [timed(lambda: subprocess.run(_HELP, check=True, capture_output=True))[0] for _ in range(5)]
    return [
        Figure("worker ready, cold", statistics.median(ready), "s", 4.0),
        Figure("import of our code at Slicer's start", max(0.0, light) * 1000, "ms", 50.0),
        Figure("slicervae --help", statistics.median(helped), "s", 0.5),
    ]


_HELP = [sys.executable, "-m", "slicervae", "--help"]


def _seconds_of(code: str) -> float:
    command = [sys.executable, "-c", code]
    return min(timed(lambda: subprocess.run(command, check=True))[0] for _ in range(5))
