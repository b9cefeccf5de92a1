"""The Engine protocol: what can be asked of a model, and what comes back.

Two forms keep it: ``core.local_engine.LocalEngine`` computes in this process, ``worker.client.WorkerEngine`` in a
separate one. Nothing here imports torch, so that Slicer's own process can speak the protocol without it.
"""

import dataclasses
from pathlib import Path
from typing import Protocol

import numpy as np

from .progress import Cancel, Listener, ignore
from .volume import Volume


@dataclasses.dataclass(frozen=True)
class Hardware:
    """Where to compute. ``device`` is "auto", "cpu", "cuda", "cuda:1" or "mps"; ``precision`` "auto" is float32, which
    keeps results equal across devices; "bfloat16" and "float16" are faster on a GPU. ``batch_size`` 0 lets the engine
    choose."""

    device: str = "auto"
    precision: str = dataclasses.field(default="auto", metadata={"choices": ("auto", "float32", "bfloat16", "float16")})
    batch_size: int = dataclasses.field(default=0, metadata={"min": 0, "max": 4096})


@dataclasses.dataclass(frozen=True)
class AnomalyOptions:
    """How the anomaly map is made; see ``core.anomaly``. ``smoothing_mm`` is the standard deviation of the Gaussian
    that smooths the map in the slice plane, in mm."""

    method: str = "absolute-residual"
    smoothing_mm: float = dataclasses.field(default=2.0, metadata={"min": 0.0, "max": 50.0})


@dataclasses.dataclass(frozen=True, eq=False)
class ReconstructRequest:
    """Reconstruct a volume and map what the model can't explain.

    ``outputs`` names the arrays wanted: "reconstruction", "residual", "anomaly", and "structures", of which a model
    without them gives none. ``sample_seed`` None decodes the posterior mean; a number decodes one seeded draw from it,
    and has no effect, which a notice tells, where nothing is random (codes, plain autoencoders).
    """

    bundle: Path
    volume: Volume
    outputs: tuple[str, ...] = ("reconstruction", "residual", "anomaly")
    anomaly: AnomalyOptions = AnomalyOptions()
    sample_seed: int | None = dataclasses.field(default=None, metadata={"min": 0, "max": 2**63 - 1})
    hardware: Hardware = Hardware()


@dataclasses.dataclass(frozen=True, eq=False)
class SynthesizeRequest:
    """Draw ``count`` synthetic slices, or cubes where a model makes cubes, from the model's prior, reproducibly from
    ``seed``. ``temperature`` scales a Gaussian prior's standard deviation; uniform codes have none. A model without a
    prior refuses."""

    bundle: Path
    count: int = dataclasses.field(default=16, metadata={"min": 1, "max": 10_000})
    seed: int = dataclasses.field(default=0, metadata={"min": 0, "max": 2**63 - 1})
    temperature: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 10.0})
    hardware: Hardware = Hardware()


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Which model made an output, with what; ``parameters`` were asked for, ``warnings`` name what was doubtful."""

    bundle_name: str
    bundle_version: str
    bundle_sha256: str
    software: str  # "SlicerVAE 0.1.0"
    modality: str
    parameters: dict[str, str] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    device: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstruction:
    """What came out of a ReconstructRequest.

    ``arrays`` holds each wanted output as float32 and always "field_of_view" as uint8, all of the input's shape
    (K, J, I). Reconstruction and residual (input − reconstruction) are in the input's units (HU for CT), the anomaly
    map in ``anomaly_unit``. Where field_of_view is 0 the model saw nothing: there the reconstruction is the lower end
    of the intensity window, the residual 0 and the anomaly −1. Of a model of several images, "reconstruction" and
    "residual" are those of the volume itself, "reconstruction NAME" and "residual NAME" those of each further channel,
    and the anomaly map is one of all images. Of a model of structures, "structure NAME" is each one's probability, 0
    where nothing was seen; structures have no part in residuals, the anomaly map and scores.

    ``slice_scores`` is the negative evidence lower bound of each model slice, in nats (with the commitment in the
    place of KL for codes; the slices of a cube share its KL equally), ``slice_positions_mm`` their position
    along the stack in LPS mm (S for axial slices, P for coronal, L for sagittal ones).
    ``timings`` gives the seconds of each part; ``notices`` are sentences for the person.
    """

    arrays: dict[str, np.ndarray]
    anomaly_unit: str
    window: tuple[float, float]  # input units that the model maps to 0 and 1
    slice_scores: tuple[float, ...]
    slice_positions_mm: tuple[float, ...]
    timings: dict[str, float]
    notices: tuple[str, ...]
    provenance: Provenance


@dataclasses.dataclass(frozen=True, eq=False)
class Synthesis:
    """What came out of a SynthesizeRequest: ``images`` float32 (N, H, W) in the model's units (HU for CT, otherwise
    0…1) with square pixels of ``spacing_mm``; the slices of a cube in their order, cube after cube."""

    images: np.ndarray
    spacing_mm: float
    window: tuple[float, float]
    timings: dict[str, float]
    notices: tuple[str, ...]
    provenance: Provenance


@dataclasses.dataclass(frozen=True)
class EngineInfo:
    """What an engine runs on; ``devices`` are what ``Hardware.device`` takes here, memory in bytes (0 if unknown)."""

    process_id: int
    software: str
    torch: str
    devices: tuple[str, ...]
    free_memory: dict[str, int]


class Engine(Protocol):
    """Answers requests, one at a time, and stays warm between them.

    Every call raises UserError with one sentence for whatever a person can mend, and Cancelled after ``cancel`` was
    requested; in both cases nothing is left behind.
    """

    def info(self) -> EngineInfo:
        """Return what the engine runs on."""
        ...

    def reconstruct(
        self, request: ReconstructRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> Reconstruction:
        """Reconstruct a volume; see ReconstructRequest."""
        ...

    def synthesize(
        self, request: SynthesizeRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> Synthesis:
        """Draw synthetic slices; see SynthesizeRequest."""
        ...

    def close(self) -> None:
        """Release what the engine holds; it can't be used afterwards."""
        ...
