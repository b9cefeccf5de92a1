"""The Engine protocol: what can be asked of a model, and what comes back.

Two forms keep it: ``core.local_engine.LocalEngine`` computes in this process, ``worker.client.WorkerEngine`` in a
separate one. Nothing here imports torch, so that Slicer's own process can speak the protocol without it.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from .progress import Cancel, Listener, ignore
from .volume import Volume

# In an anomaly map, what the model did not see. Signed maps are limited to ±999.
NOT_SEEN, NOT_SEEN_SIGNED = -1.0, -1000.0


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
    """How the anomaly map is made; see ``core.anomaly``.

    ``method`` is the name of a map; "auto" is the first one that the bundle is calibrated for, or "absolute-residual".
    ``calibrated`` applies the bundle's calibration where it has one for the map. ``smoothing_mm`` is the standard
    deviation of the Gaussian that smooths the map in the slice plane, in mm; None is that which the map is calibrated
    for, and 2 mm for one without a calibration. ``body_erosion_mm`` leaves out what lies
    outside of the body or less than so many mm under its surface, which is found to 4 mm; None looks everywhere.
    ``minimum_region_cm3`` brings regions beyond ±``region_threshold``, in the map's unit, that are smaller than so many
    cm³ back to the threshold, so that only larger ones pass it; 0 leaves all.
    """

    method: str = "auto"
    calibrated: bool = True
    smoothing_mm: float | None = dataclasses.field(default=None, metadata={"min": 0.0, "max": 50.0})
    body_erosion_mm: float | None = dataclasses.field(default=None, metadata={"min": 0.0, "max": 100.0})
    region_threshold: float = dataclasses.field(default=3.0, metadata={"min": 1e-6, "max": 1e6})
    minimum_region_cm3: float = dataclasses.field(default=0.0, metadata={"min": 0.0, "max": 1e5})


@dataclasses.dataclass(frozen=True, eq=False)
class ReconstructRequest:
    """Reconstruct a volume and map what the model can't explain.

    ``outputs`` names the arrays wanted: "reconstruction", "residual", "anomaly", and "structures", of which a model
    without them gives none. ``sample_seed`` None decodes the posterior mean; a number decodes one seeded draw from it,
    and has no effect, which a notice tells, where nothing is random (codes, plain autoencoders). ``override`` lets a
    demonstration look at a patient, which the provenance tells. ``channels`` are further co-registered images by the
    names that the model gives them, on grids of their own; ``volume`` may have them on its grid instead.
    """

    bundle: Path
    volume: Volume
    outputs: tuple[str, ...] = ("reconstruction", "residual", "anomaly")
    anomaly: AnomalyOptions = AnomalyOptions()
    sample_seed: int | None = dataclasses.field(default=None, metadata={"min": 0, "max": 2**63 - 1})
    hardware: Hardware = Hardware()
    override: bool = False
    channels: Mapping[str, Volume] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class LatentPath:
    """Images on the way from each draw to the next, in ``steps`` steps, along a great circle or a straight line."""

    steps: int = dataclasses.field(default=8, metadata={"min": 1, "max": 1000})
    shape: str = dataclasses.field(default="spherical", metadata={"choices": ("spherical", "linear")})


PRIORS = ("auto", "standard", "mixture", "aggregated-posterior", "learned-codes")


@dataclasses.dataclass(frozen=True, eq=False)
class SynthesizeRequest:
    """Draw ``count`` synthetic slices, or cubes where a model makes cubes, reproducibly from ``seed``.

    ``prior`` is what is drawn from: "standard", the prior that the model was trained with, or one that
    ``slicervae fit-prior`` put into the bundle (see ``core.synthesis_parts``); "auto" is the best there is, which the
    provenance names. ``temperature`` scales the standard deviations of Gaussians and divides the logits of learned
    codes; uniform codes have none. With a ``path``, the ``count`` draws are joined by the slices between them, which
    change little by little and make a volume. A model without a prior refuses, and one of codes refuses a path.
    """

    bundle: Path
    count: int = dataclasses.field(default=16, metadata={"min": 1, "max": 10_000})
    seed: int = dataclasses.field(default=0, metadata={"min": 0, "max": 2**63 - 1})
    temperature: float = dataclasses.field(default=1.0, metadata={"min": 0.0, "max": 10.0})
    hardware: Hardware = Hardware()
    prior: str = dataclasses.field(default="auto", metadata={"choices": PRIORS})
    path: LatentPath | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class EncodeRequest:
    """Encode a volume's slices, or its cube, for the patient library.

    Of a CT only the body is shown to the model, without the couch and whatever else lies beside it, whether the bundle
    asks for that or not: two scans of a patient on different couches have to look alike. Images with less than 1 % of
    body are left out. A model without a Gaussian posterior refuses. ``override`` and ``channels`` are as in a
    ReconstructRequest.
    """

    bundle: Path
    volume: Volume
    hardware: Hardware = Hardware()
    override: bool = False
    channels: Mapping[str, Volume] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class DecodeRequest:
    """Decode ``latents`` float32 (N, *shape), the shape being that of the model's ``core.latent.Latent``.

    With a ``path``, the N are joined by the pictures between them, as in a SynthesizeRequest. Raises UserError for
    latents of another shape and for values that are not numbers.
    """

    bundle: Path
    latents: np.ndarray
    path: LatentPath | None = None
    hardware: Hardware = Hardware()


@dataclasses.dataclass(frozen=True, eq=False)
class LatentsRequest:
    """The latents that the reconstructions of some of a volume's slices are decoded from: their posterior means.

    ``positions_mm`` are places along the stack as ``Reconstruction.slice_positions_mm`` tells them; of each the nearest
    of the model's slices is taken. A model of cubes has the latents of the whole volume, whatever the place.
    ``override`` and ``channels`` are as in a ReconstructRequest.
    """

    bundle: Path
    volume: Volume
    positions_mm: tuple[float, ...]
    hardware: Hardware = Hardware()
    override: bool = False
    channels: Mapping[str, Volume] = dataclasses.field(default_factory=dict)


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
    of the intensity window, the residual 0 and the anomaly ``anomaly_not_seen``, which also marks what
    ``body_erosion_mm`` left out. Of a model of several images, "reconstruction" and "residual" are those of the volume
    itself, "reconstruction NAME" and "residual NAME" those of each further channel; "anomaly" is the map of all images
    and "anomaly NAME" that of each, the first included, where the method has one of each. Of a model of structures,
    "structure NAME" is each one's probability, 0 where nothing was seen; structures have no part in residuals, anomaly
    maps and scores.

    An ``anomaly_is_signed`` map is above zero where the image is brighter than expected (or, of a calibrated map of
    another method, more anomalous than usual there) and below where it is darker (less anomalous); otherwise no value
    is negative. A calibrated map's unit is "healthy z-score", and ``patient_p_value`` is how rarely a healthy patient
    looks as unusual as this one; None where the map is not calibrated.

    ``slice_scores`` is the negative evidence lower bound of each model slice, in nats (with the commitment in the
    place of KL for codes; the slices of a cube share its KL equally), ``slice_positions_mm`` their position
    along the stack in LPS mm (S for axial slices, P for coronal, L for sagittal ones). ``slice_map_scores`` is the 99th
    percentile of the anomaly map's absolute values in each of them, in ``anomaly_unit``, empty without a map.
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
    anomaly_is_signed: bool = False
    slice_map_scores: tuple[float, ...] = ()
    patient_p_value: float | None = None

    @property
    def anomaly_not_seen(self) -> float:
        """What stands in the anomaly map where the model saw nothing: a value that the map never takes."""
        return NOT_SEEN_SIGNED if self.anomaly_is_signed else NOT_SEEN


@dataclasses.dataclass(frozen=True, eq=False)
class Synthesis:
    """What came out of a SynthesizeRequest or a DecodeRequest.

    ``images`` are float32 (N, H, W) in the model's units (HU for CT, otherwise 0…1) with square pixels of
    ``spacing_mm``; the slices of a cube in their order, cube after cube.

    ``structures`` are masks uint8 (N, H, W) by name, of a model of structures: where each is the most probable.
    ``latents`` float32 (N, *shape) are those that were decoded, for a DecodeRequest; None of a model of codes.
    """

    images: np.ndarray
    spacing_mm: float
    window: tuple[float, float]
    timings: dict[str, float]
    notices: tuple[str, ...]
    provenance: Provenance
    structures: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    latents: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedVolume:
    """What came out of an EncodeRequest, for the N slices, or cubes, that show a body.

    ``mean`` and ``log_variance`` are float32 (N, J), the posteriors' μ and ln σ², of a hierarchy those of z₁;
    ``latent_kind`` is as in ``core.latent``. ``positions_mm`` float32 (N,) is how far each lies towards the head from
    ``position_origin`` ("lungs", "vertex" or "scan"; see ``core.body_position``), and ``slice_positions_mm`` float64
    (N, 3) its centre in LPS mm. ``body_share`` float32 (N,) is the share of its pixels
    that show the body. ``notices`` are sentences for the person.
    """

    mean: np.ndarray
    log_variance: np.ndarray
    positions_mm: np.ndarray
    position_origin: str
    slice_positions_mm: np.ndarray
    body_share: np.ndarray
    latent_kind: str
    notices: tuple[str, ...]
    provenance: Provenance


@dataclasses.dataclass(frozen=True, eq=False)
class SliceLatents:
    """What came out of a LatentsRequest: ``latents`` float32 (N, *shape) of the slices at ``positions_mm``, which a
    DecodeRequest takes."""

    latents: np.ndarray
    positions_mm: tuple[float, ...]
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

    def encode(
        self, request: EncodeRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> EncodedVolume:
        """Encode a volume's slices; see EncodeRequest."""
        ...

    def decode(self, request: DecodeRequest, progress: Listener = ignore, cancel: Cancel | None = None) -> Synthesis:
        """Decode given latents; see DecodeRequest."""
        ...

    def latents(
        self, request: LatentsRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> SliceLatents:
        """The latents of some of a volume's slices; see LatentsRequest."""
        ...

    def close(self) -> None:
        """Release what the engine holds; it can't be used afterwards."""
        ...
