"""The Engine in this process."""

import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from .. import __version__
from .anomaly import Evidence, method_named, slice_scores, smooth
from .bundle import load_network
from .declaration import check
from .engine import (
    EngineInfo,
    Hardware,
    Provenance,
    Reconstruction,
    ReconstructRequest,
    Synthesis,
    SynthesizeRequest,
)
from .errors import UserError, nearest
from .manifest import Manifest, read_manifest
from .networks import Network
from .placement import Placement, available_devices, free_memory, is_out_of_memory
from .preprocessing import HounsfieldWindow
from .progress import Cancel, Listener, Meter, Progress, ignore
from .records import from_data, to_data
from .stack import Stack, prepare
from .synthesis import draw_latents, draw_noise

SOFTWARE = f"SlicerVAE {__version__}"
OUTPUTS = ("reconstruction", "residual", "anomaly")
NOT_SEEN = {"residual": 0.0, "anomaly": -1.0}  # the reconstruction's is the lower end of its window


class LocalEngine:
    """Computes in this process and keeps the last model warm. Keeps the protocol of ``core.engine.Engine``."""

    def __init__(self) -> None:
        self._warm: tuple[Path, str, Network] | None = None

    def info(self) -> EngineInfo:
        """Return what the engine runs on."""
        devices = available_devices()
        memory = {name: free_memory(name) for name in devices}
        return EngineInfo(os.getpid(), SOFTWARE, torch.__version__, devices, memory)

    def reconstruct(
        self, request: ReconstructRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> Reconstruction:
        """Reconstruct a volume; see ReconstructRequest."""
        cancel = cancel or Cancel()
        clock = _Clock()
        request = from_data(ReconstructRequest, to_data(request), "The request")
        _check_outputs(request.outputs)
        method = method_named(request.anomaly.method)
        with clock.part("model"):
            manifest = read_manifest(request.bundle)
            # Before the weights are loaded: a wrong input is told at once.
            warnings = check(request.volume, manifest.declaration, manifest.title)
            placement = self._place(request.bundle, manifest, request.hardware)
        progress(Progress(0.02, "preparing the volume"))
        name = request.volume.source.name or "The input"
        enough_memory = functools.partial(_enough_memory, f"{name} needs", "crop it first")
        with clock.part("resample to model"), enough_memory():
            stack = prepare(request.volume, manifest.preprocessing)
        cancel.check()
        with clock.part("network"), enough_memory():
            noise = _noise(request.sample_seed, len(stack.pixels), placement.network)
            meter = Meter(progress, "reconstructing", len(stack.pixels), start=0.1, end=0.8)
            reconstructions, kl = _reconstruct(placement, stack, noise, meter, cancel)
        with clock.part("maps"), enough_memory():
            progress(Progress(0.8, "mapping"))
            evidence = Evidence(stack.pixels, reconstructions, manifest.noise_variance)
            scores = slice_scores(evidence, kl)
            maps = {}
            if "residual" in request.outputs:
                maps["residual"] = (stack.pixels - reconstructions)[:, 0].mul_(stack.scale)
            if "anomaly" in request.outputs:
                sigma = request.anomaly.smoothing_mm / manifest.preprocessing.spacing_mm
                maps["anomaly"] = smooth(method.map(evidence), sigma)
            if "reconstruction" in request.outputs:
                maps["reconstruction"] = reconstructions[:, 0].mul_(stack.scale).add_(stack.window[0])
        cancel.check()
        with clock.part("resample to input"), enough_memory():
            progress(Progress(0.85, "returning to the input's grid"))
            arrays = _on_input_grid(stack, maps, cancel)
        progress(Progress(1.0, "done", 0.0))
        parameters = {
            "anomaly method": request.anomaly.method,
            "smoothing in mm": f"{request.anomaly.smoothing_mm:g}",
            "reconstruction of": "posterior mean" if request.sample_seed is None else f"draw {request.sample_seed}",
            "batch size": str(placement.batch_size),
        }
        return Reconstruction(
            arrays=arrays,
            anomaly_unit=method.unit,
            window=stack.window,
            slice_scores=tuple(scores.tolist()),
            slice_positions_mm=stack.positions_mm(),
            timings=clock.seconds,
            notices=(*warnings, *placement.notices),
            provenance=_provenance(manifest, placement, parameters, warnings),
        )

    def synthesize(
        self, request: SynthesizeRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> Synthesis:
        """Draw synthetic slices; see SynthesizeRequest."""
        clock = _Clock()
        request = from_data(SynthesizeRequest, to_data(request), "The request")
        with clock.part("model"):
            manifest = read_manifest(request.bundle)
            placement = self._place(request.bundle, manifest, request.hardware)
        with clock.part("network"), _enough_memory(f"{request.count:,} slices need", "ask for fewer"):
            latents = draw_latents(placement.network, request.count, seed=request.seed, temperature=request.temperature)
            meter = Meter(progress, "drawing", request.count)
            (pixels,) = placement.run(
                lambda net, z: (net.decode(z)[:, 0],), latents, meter=meter, cancel=cancel or Cancel()
            )
        intensity = manifest.preprocessing.intensity
        # MR has no units: only a window that is the same for every volume can be undone without one.
        window = (intensity.lower, intensity.upper) if isinstance(intensity, HounsfieldWindow) else (0.0, 1.0)
        parameters = {"seed": str(request.seed), "temperature": f"{request.temperature:g}", "prior": "N(0, I)"}
        return Synthesis(
            images=pixels.mul_(window[1] - window[0]).add_(window[0]).numpy(),
            spacing_mm=manifest.preprocessing.spacing_mm,
            window=window,
            timings=clock.seconds,
            notices=tuple(placement.notices),
            provenance=_provenance(manifest, placement, parameters, ()),
        )

    def close(self) -> None:
        """Release the model."""
        self._warm = None

    def _place(self, bundle: Path, manifest: Manifest, hardware: Hardware) -> Placement:
        if self._warm is None or self._warm[:2] != (bundle, manifest.checksum):
            self._warm = (bundle, manifest.checksum, load_network(bundle, manifest))
        return Placement.of(self._warm[2], hardware)


def _check_outputs(outputs: tuple[str, ...]) -> None:
    for name in outputs:
        if name not in OUTPUTS:
            raise UserError(f"There is no output '{name}'; {nearest(name, OUTPUTS)}")


def _noise(seed: int | None, count: int, network: Network) -> torch.Tensor | None:
    """ε of one draw from each posterior, made before batching so that it does not depend on it."""
    return None if seed is None else draw_noise(network.latent, count, seed=seed)


def _reconstruct(
    placement: Placement, stack: Stack, noise: torch.Tensor | None, meter: Meter, cancel: Cancel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstructions (N, 1, H, W) in [0, 1] and KL of each posterior (N,)."""

    def of_mean(network: Network, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encoding = network.encode(images)
        return network.decode(encoding.mode), encoding.divergence()

    def of_draw(network: Network, images: torch.Tensor, epsilon: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encoding = network.encode(images)
        return network.decode(encoding.draw(epsilon)), encoding.divergence()

    if noise is None:
        reconstructions, kl = placement.run(of_mean, stack.pixels, meter=meter, cancel=cancel)
    else:
        reconstructions, kl = placement.run(of_draw, stack.pixels, noise, meter=meter, cancel=cancel)
    return reconstructions, kl


def _on_input_grid(stack: Stack, maps: dict[str, torch.Tensor], cancel: Cancel) -> dict[str, np.ndarray]:
    arrays = {}
    for name, pixels in maps.items():
        cancel.check()
        arrays[name] = stack.to_source(pixels, fill=NOT_SEEN.get(name, stack.window[0]))
    arrays["field_of_view"] = stack.seen().astype(np.uint8)
    return arrays


def _provenance(
    manifest: Manifest, placement: Placement, parameters: dict[str, str], warnings: tuple[str, ...]
) -> Provenance:
    return Provenance(
        bundle_name=manifest.name,
        bundle_version=manifest.version,
        bundle_sha256=manifest.checksum,
        software=SOFTWARE,
        modality=str(manifest.declaration.modality),
        parameters=parameters,
        warnings=warnings,
        device=placement.description,
    )


@contextmanager
def _enough_memory(needs: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"{needs} more memory than is free; close other programs or {remedy}.") from None


class _Clock:
    """Seconds of named parts of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began
