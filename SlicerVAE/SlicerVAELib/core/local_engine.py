"""The Engine in this process."""

import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
from .errors import UserError
from .latent import Latent
from .manifest import Manifest, read_manifest
from .networks import Network
from .outputs import check_outputs, on_input_grid, outputs_of
from .placement import Placement, available_devices, free_memory, is_out_of_memory
from .preprocessing import HounsfieldWindow
from .progress import Cancel, Listener, Meter, Progress, ignore
from .records import from_data, to_data
from .stack import prepare, slices_of
from .synthesis import draw_latents, draw_noise

SOFTWARE = f"SlicerVAE {__version__}"


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
        check_outputs(request.outputs)
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
        images = stack.images
        latent = placement.network.latent
        with clock.part("network"), enough_memory():
            noise = _noise(request.sample_seed, len(images), latent)
            meter = Meter(progress, "reconstructing", len(images), start=0.1, end=0.8)
            decoded, divergence = _reconstruct(placement, images, noise, meter, cancel)
            reconstructions = slices_of(decoded)
        with clock.part("maps"), enough_memory():
            progress(Progress(0.8, "mapping"))
            pictures = manifest.preprocessing.image_channels
            evidence = Evidence(stack.pixels[:, :pictures], reconstructions[:, :pictures], manifest.noise_variance)
            scores = slice_scores(evidence, _per_slice(divergence, len(reconstructions)))
            anomaly = None
            if "anomaly" in request.outputs:
                sigma = request.anomaly.smoothing_mm / manifest.preprocessing.spacing_mm
                anomaly = smooth(method.map(evidence), sigma)
        cancel.check()
        with clock.part("resample to input"), enough_memory():
            progress(Progress(0.85, "returning to the input's grid"))
            outputs = outputs_of(request.outputs, stack, reconstructions, anomaly, manifest.preprocessing)
            arrays = on_input_grid(stack, outputs, cancel)
        progress(Progress(1.0, "done", 0.0))
        parameters = {
            "anomaly method": request.anomaly.method,
            "smoothing in mm": f"{request.anomaly.smoothing_mm:g}",
            "reconstruction of": _what_is_decoded(latent, request.sample_seed),
            "batch size": str(placement.batch_size),
        }
        return Reconstruction(
            arrays=arrays,
            anomaly_unit=method.unit,
            window=stack.window,
            slice_scores=tuple(scores.tolist()),
            slice_positions_mm=stack.positions_mm(),
            timings=clock.seconds,
            notices=(*warnings, *_on_the_draw(latent, request.sample_seed, manifest.title), *placement.notices),
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
            latent = placement.network.latent
            latents = draw_latents(placement.network, request.count, seed=request.seed, temperature=request.temperature)
            meter = Meter(progress, "drawing", request.count)
            (images,) = placement.run(
                lambda net, z: (net.decode(z)[:, :1],), latents, meter=meter, cancel=cancel or Cancel()
            )
            pixels = slices_of(images)[:, 0].contiguous()
        intensity = manifest.preprocessing.intensity
        # MR has no units: only a window that is the same for every volume can be undone without one.
        window = (intensity.lower, intensity.upper) if isinstance(intensity, HounsfieldWindow) else (0.0, 1.0)
        parameters = {"seed": str(request.seed), "prior": _prior_in_words(latent)}
        if latent.kind == "gaussian":
            parameters["temperature"] = f"{request.temperature:g}"
        return Synthesis(
            images=pixels.mul_(window[1] - window[0]).add_(window[0]).numpy(),
            spacing_mm=manifest.preprocessing.spacing_mm,
            window=window,
            timings=clock.seconds,
            notices=(*_on_the_samples(manifest, latent, request.temperature), *placement.notices),
            provenance=_provenance(manifest, placement, parameters, ()),
        )

    def close(self) -> None:
        """Release the model."""
        self._warm = None

    def _place(self, bundle: Path, manifest: Manifest, hardware: Hardware) -> Placement:
        if self._warm is None or self._warm[:2] != (bundle, manifest.checksum):
            self._warm = (bundle, manifest.checksum, load_network(bundle, manifest))
        return Placement.of(self._warm[2], hardware)


def _noise(seed: int | None, count: int, latent: Latent) -> torch.Tensor | None:
    """ε of one draw from each posterior, made before batching so that it does not depend on it."""
    return None if seed is None or latent.kind != "gaussian" else draw_noise(latent, count, seed=seed)


def _reconstruct(
    placement: Placement, images: torch.Tensor, noise: torch.Tensor | None, meter: Meter, cancel: Cancel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstructions of the images, of their shape, and the divergence of each encoding, (N,)."""

    def of_mean(network: Network, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encoding = network.encode(images)
        return network.decode(encoding.mode), encoding.divergence()

    def of_draw(network: Network, images: torch.Tensor, epsilon: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encoding = network.encode(images)
        return network.decode(encoding.draw(epsilon)), encoding.divergence()

    if noise is None:
        reconstructions, divergence = placement.run(of_mean, images, meter=meter, cancel=cancel)
    else:
        reconstructions, divergence = placement.run(of_draw, images, noise, meter=meter, cancel=cancel)
    return reconstructions, divergence


def _per_slice(divergence: torch.Tensor, slices: int) -> torch.Tensor:
    """The divergence of each slice, (slices,); those of a cube share its own, so that their scores sum to its score."""
    of_each = slices // len(divergence)
    return divergence.repeat_interleave(of_each) / of_each


def _what_is_decoded(latent: Latent, seed: int | None) -> str:
    if latent.kind != "gaussian":
        return {"codes": "codes", "point": "latents"}[latent.kind]
    return "posterior mean" if seed is None else f"draw {seed}"


def _on_the_draw(latent: Latent, seed: int | None, model: str) -> list[str]:
    if seed is None or latent.kind == "gaussian":
        return []
    has = "codes" if latent.kind == "codes" else "latents without a posterior"
    return [f"{model} has {has}, in which nothing is random; the seed of the draw had no effect."]


def _prior_in_words(latent: Latent) -> str:
    if latent.kind == "codes":
        return "uniform codes"
    return "N(0, I)" if latent.prior_variance == 1 else f"N(0, {latent.prior_variance:g} I)"


def _on_the_samples(manifest: Manifest, latent: Latent, temperature: float) -> list[str]:
    notices = []
    if latent.kind == "codes" and temperature != 1:
        notices.append("Uniform codes have no temperature; it had no effect.")
    if manifest.preprocessing.dimensions == 3:
        depth = manifest.preprocessing.size
        notices.append(f"{manifest.title} makes cubes of {depth} slices, which are given one after another.")
    if manifest.preprocessing.image_channels > 1:
        shown = manifest.preprocessing.channels[0]
        notices.append(f"{manifest.title} makes several images of each slice; given is '{shown}', the first.")
    return notices


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
