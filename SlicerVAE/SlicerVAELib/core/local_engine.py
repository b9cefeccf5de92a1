"""The Engine in this process."""

import functools
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import torch

from .. import __version__
from .anomaly import Evidence, Model, slice_scores
from .anomaly.choice import AUTO, choose
from .anomaly.maps import make_maps
from .anomaly.registry import method_named
from .bundle import load_network
from .channels import with_channels
from .declaration import check
from .encode import encode_slices
from .engine import (
    DecodeRequest,
    EncodedVolume,
    EncodeRequest,
    EngineInfo,
    Hardware,
    LatentsRequest,
    Provenance,
    Reconstruction,
    ReconstructRequest,
    SliceLatents,
    Synthesis,
    SynthesizeRequest,
)
from .errors import UserError
from .manifest import Manifest, read_manifest
from .networks import Network
from .outputs import check_outputs, on_input_grid, outputs_of
from .placement import Placement, available_devices, free_memory_of, is_out_of_memory
from .progress import Cancel, Listener, Meter, Progress, ignore, part_of
from .reconstruction import noise_of_draw, per_slice, reconstruct
from .records import from_data, to_data
from .result_notes import (
    on_demonstration,
    on_the_draw,
    on_what_is_left_out,
    request_told,
    what_is_decoded,
)
from .slice_latents import checked_latents, latents_at
from .stack import prepare, slices_of
from .synthesis_images import decode_draws, window_of
from .synthesis_notes import notices_of_draws, notices_of_pictures, parameters_of_draws
from .synthesis_parts import prior_of
from .synthesis_path import along, check_path
from .typicality import doubts_about
from .volume import Volume

SOFTWARE = f"SlicerVAE {__version__}"


class LocalEngine:
    """Computes in this process and keeps the last model warm. Keeps the protocol of ``core.engine.Engine``."""

    def __init__(self) -> None:
        self._warm: tuple[Path, str, Network] | None = None

    def info(self) -> EngineInfo:
        """Return what the engine runs on."""
        devices = available_devices()
        memory = {name: free_memory_of(name) for name in devices}
        return EngineInfo(os.getpid(), SOFTWARE, torch.__version__, devices, memory)

    def reconstruct(
        self, request: ReconstructRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> Reconstruction:
        """Reconstruct a volume; see ReconstructRequest."""
        cancel = cancel or Cancel()
        clock = _Clock()
        request = from_data(ReconstructRequest, to_data(request), "The request")
        check_outputs(request.outputs)
        if request.anomaly.method != AUTO:
            method_named(request.anomaly.method)
        with clock.part("model"):
            manifest, warnings, placement = self._ready_for(request)
            choice = choose(request, placement.network, manifest) if "anomaly" in request.outputs else None
        progress(Progress(0.02, "preparing the volume"))
        enough_memory = functools.partial(_enough_for, request.volume)
        with clock.part("resample to model"), enough_memory():
            volume = with_channels(request.volume, request.channels)
            stack = prepare(volume, manifest.preprocessing)
        cancel.check()
        images = stack.images
        latent = placement.network.latent
        middle = 0.1 + 0.7 / (1 + choice.method.passes if choice else 1)
        with clock.part("network"), enough_memory():
            noise = noise_of_draw(request.sample_seed, len(images), latent)
            meter = Meter(progress, "reconstructing", len(images), start=0.1, end=middle)
            decoded, divergence = reconstruct(placement, images, noise, meter, cancel)
            reconstructions = slices_of(decoded)
        with clock.part("maps"), enough_memory():
            progress(Progress(middle, "mapping"))
            pictures, variance = manifest.preprocessing.image_channels, manifest.noise_variance
            evidence = Evidence(stack.pixels[:, :pictures], reconstructions[:, :pictures], variance)
            scores = slice_scores(evidence, per_slice(divergence, len(reconstructions)))
            warnings = (*warnings, *doubts_about(scores, evidence.images, manifest))
            anomaly = None
            if choice:
                listener = part_of(progress, middle, 0.8)
                model = Model(placement, images, pictures, variance, listener, cancel, choice.code_prior)
                anomaly = make_maps(choice, request.anomaly, evidence, model, stack, volume, manifest.preprocessing)
        cancel.check()
        with clock.part("resample to input"), enough_memory():
            progress(Progress(0.85, "returning to the input's grid"))
            maps = anomaly.outputs if anomaly else []
            outputs = outputs_of(request.outputs, stack, reconstructions, maps, manifest.preprocessing)
            arrays = on_input_grid(stack, outputs, cancel)
        progress(Progress(1.0, "done", 0.0))
        parameters = {
            **(choice.parameters(request.anomaly) if choice else {}),
            "reconstruction of": what_is_decoded(latent, request.sample_seed),
            "batch size": str(placement.batch_size),
            **request_told(request.channels, override=request.override),
        }
        return Reconstruction(
            arrays=arrays,
            anomaly_unit=choice.unit if choice else "",
            window=stack.window,
            slice_scores=tuple(scores.tolist()),
            slice_positions_mm=stack.positions_mm(),
            timings=clock.seconds,
            notices=(
                *on_demonstration(manifest),
                *warnings,
                *on_the_draw(latent, request.sample_seed, manifest.title),
                *(anomaly.notices if anomaly else ()),
                *placement.notices,
            ),
            provenance=_provenance(manifest, placement, parameters, warnings),
            anomaly_is_signed=choice.is_signed if choice else False,
            slice_map_scores=anomaly.slice_scores if anomaly else (),
            patient_p_value=anomaly.patient_p_value if anomaly else None,
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
            network, cancel = placement.network, cancel or Cancel()
            prior = prior_of(request.prior, network, request.bundle, manifest)
            if request.path is not None:
                check_path(request.count, network.latent, manifest.title)
            meter = Meter(progress, "drawing", request.count, end=0.5)
            latents = prior.draw(
                request.count, seed=request.seed, temperature=request.temperature, meter=meter, cancel=cancel
            )
            if request.path is not None:
                latents = along(latents, request.path)
            meter = Meter(progress, "decoding", len(latents), start=0.5)
            pixels, structures = decode_draws(placement, latents, manifest.preprocessing, meter, cancel)
        notices, parameters = notices_of_draws(prior, request, manifest), parameters_of_draws(prior, request)
        return _synthesis(latents, pixels, structures, manifest, placement, notices, parameters, clock.seconds)

    def decode(self, request: DecodeRequest, progress: Listener = ignore, cancel: Cancel | None = None) -> Synthesis:
        """Decode given latents; see DecodeRequest."""
        clock = _Clock()
        request = from_data(DecodeRequest, to_data(request), "The request")
        with clock.part("model"):
            manifest = read_manifest(request.bundle)
            placement = self._place(request.bundle, manifest, request.hardware)
        latents = checked_latents(request.latents, placement.network.latent, manifest.title)
        parameters = {"latents": "given"}
        if request.path is not None:
            check_path(len(latents), placement.network.latent, manifest.title)
            parameters["path"] = f"{request.path.shape}, {request.path.steps} steps between {len(latents)} latents"
            latents = along(latents, request.path)
        with clock.part("network"), _enough_memory(f"{len(latents):,} slices need", "ask for fewer"):
            meter = Meter(progress, "decoding", len(latents))
            pixels, structures = decode_draws(placement, latents, manifest.preprocessing, meter, cancel or Cancel())
        notices = notices_of_pictures(manifest)
        return _synthesis(latents, pixels, structures, manifest, placement, notices, parameters, clock.seconds)

    def latents(
        self, request: LatentsRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> SliceLatents:
        """The latents of some of a volume's slices; see LatentsRequest."""
        request = from_data(LatentsRequest, to_data(request), "The request")
        manifest, warnings, placement = self._ready_for(request)
        with _enough_for(request.volume):
            volume = with_channels(request.volume, request.channels)
            latents, positions_mm = latents_at(
                volume, request.positions_mm, manifest.preprocessing, placement, progress, cancel or Cancel()
            )
        return SliceLatents(
            latents=latents,
            positions_mm=positions_mm,
            notices=(*warnings, *placement.notices),
            provenance=_provenance(
                manifest, placement, request_told(request.channels, override=request.override), warnings
            ),
        )

    def encode(
        self, request: EncodeRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> EncodedVolume:
        """Encode a volume's slices; see EncodeRequest."""
        request = from_data(EncodeRequest, to_data(request), "The request")
        manifest, warnings, placement = self._ready_for(request)
        with _enough_for(request.volume):
            volume = with_channels(request.volume, request.channels)
            found = encode_slices(volume, manifest, placement, progress, cancel or Cancel())
        progress(Progress(1.0, "done", 0.0))
        return EncodedVolume(
            mean=found.mean,
            log_variance=found.log_variance,
            positions_mm=found.positions_mm,
            position_origin=found.origin.landmark,
            slice_positions_mm=found.slice_positions_mm,
            body_share=found.body_share,
            latent_kind=found.latent_kind,
            notices=(*warnings, *on_what_is_left_out(found.left_out), *placement.notices),
            provenance=_provenance(
                manifest,
                placement,
                {
                    "batch size": str(placement.batch_size),
                    **request_told(request.channels, override=request.override),
                },
                warnings,
            ),
        )

    def close(self) -> None:
        """Release the model."""
        self._warm = None

    def _ready_for(
        self, request: ReconstructRequest | LatentsRequest | EncodeRequest
    ) -> tuple[Manifest, tuple[str, ...], Placement]:
        """The model, what is doubtful about giving it the volume, and where it computes. Raises UserError where the
        volume is not for the model."""
        manifest = read_manifest(request.bundle)
        # Before the weights are loaded: a wrong input is told at once.
        warnings = check(request.volume, manifest.declaration, manifest.title, override=request.override)
        return manifest, warnings, self._place(request.bundle, manifest, request.hardware)

    def _place(self, bundle: Path, manifest: Manifest, hardware: Hardware) -> Placement:
        if self._warm is None or self._warm[:2] != (bundle, manifest.checksum):
            self._warm = (bundle, manifest.checksum, load_network(bundle, manifest))
        return Placement.of(self._warm[2], hardware)


def _synthesis(
    latents: torch.Tensor,
    pixels: torch.Tensor,
    structures: dict[str, np.ndarray],
    manifest: Manifest,
    placement: Placement,
    notices: list[str],
    parameters: dict[str, str],
    timings: dict[str, float],
) -> Synthesis:
    low, high = window_of(manifest.preprocessing)
    return Synthesis(
        images=pixels.mul_(high - low).add_(low).numpy(),
        spacing_mm=manifest.preprocessing.spacing_mm,
        window=(low, high),
        timings=timings,
        notices=(*on_demonstration(manifest), *notices, *placement.notices),
        provenance=_provenance(manifest, placement, parameters, ()),
        structures=structures,
        latents=None if placement.network.latent.kind == "codes" else latents.numpy(),
    )


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


def _enough_for(volume: Volume) -> AbstractContextManager[None]:
    return _enough_memory(f"{volume.source.name or 'The input'} needs", "crop it first")


class _Clock:
    """Seconds of named parts of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began
