"""bundle.json: everything about a model but its weights. Read without torch, and checked before it is believed."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from .declaration import Declaration
from .errors import UserError
from .preprocessing import Preprocessing
from .records import from_data, to_data

FORMAT = "slicervae-bundle"
FORMAT_VERSION = 1
MANIFEST = "bundle.json"
WEIGHTS = "weights.safetensors"
CARD = "card.md"
PREVIEW = "preview.png"
FILES = (WEIGHTS, CARD, PREVIEW)
LARGEST_MANIFEST_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True)
class NetworkDescription:
    """A network as data: its family in ``core.networks`` and its settings."""

    family: str
    settings: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class FileRecord:
    """Size and checksum of a file of the bundle."""

    bytes: int = dataclasses.field(metadata={"min": 0})
    sha256: str = ""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What bundle.json holds. ``noise_variance`` is the decoder's σ² in model units², for scoring; ``quality`` are
    figures on held-out patients, and ``unusual_score`` is the negative evidence lower bound of a slice, in nats, that
    one of their slices in a hundred exceeds, None where it is not known; ``checksum`` is the SHA-256 of everything else
    and the bundle's identity."""

    format: str
    format_version: int = dataclasses.field(metadata={"min": 1, "max": FORMAT_VERSION})
    name: str
    version: str
    created: str
    software: str
    recipe: str
    network: NetworkDescription
    preprocessing: Preprocessing
    declaration: Declaration
    noise_variance: float = dataclasses.field(metadata={"min": 1e-12, "max": 1e12})
    quality: dict[str, float] = dataclasses.field(default_factory=dict)
    unusual_score: float | None = None
    files: dict[str, FileRecord] = dataclasses.field(default_factory=dict)
    checksum: str = ""

    @property
    def title(self) -> str:
        """Name and version, as a person is told them."""
        return f"{self.name} {self.version}"

    @property
    def encoder_checksum(self) -> str:
        """SHA-256 of what posteriors depend on: network, weights and preprocessing. Whatever else is put into a bundle
        later, a calibration or a prior, leaves it as it is."""
        weights = self.files[WEIGHTS].sha256
        return _checksum({"network": to_data(self.network), "weights": weights, "images": to_data(self.preprocessing)})

    def sealed(self, files: dict[str, FileRecord]) -> "Manifest":
        """The manifest with its files' records and its own checksum."""
        complete = dataclasses.replace(self, files=files, checksum="")
        return dataclasses.replace(complete, checksum=_checksum(to_data(complete)))

    def to_json(self) -> str:
        """The text of bundle.json."""
        return json.dumps(to_data(self), indent=2, ensure_ascii=False) + "\n"


def read_manifest(bundle: Path) -> Manifest:
    """Read and check bundle.json of the bundle folder, and that its files are there in their full size.

    The weights' own content is checked where they are loaded. Raises UserError for what is not a bundle, and for a
    truncated, damaged, hand-edited or newer one.
    """
    path = bundle / MANIFEST
    try:
        _check_is_bundle(bundle)
        if path.stat().st_size > LARGEST_MANIFEST_BYTES:
            raise UserError(f"{path} is far too large for a model description; get the bundle again.")
        data = json.loads(path.read_text(encoding="utf-8"))
        checksum = _checksum(data) if isinstance(data, dict) else ""
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} can't be read ({_reason(error)}); get or export the bundle again.") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise UserError(f"{path} does not describe a SlicerVAE model; choose a folder that 'slicervae export' wrote.")
    version = data.get("format_version")
    if isinstance(version, int | float) and version > FORMAT_VERSION:
        raise UserError(
            f"{bundle} is a bundle of format {version}, newer than this software reads ({FORMAT_VERSION}); "
            "update SlicerVAE."
        )
    if data.get("checksum") != checksum:
        raise UserError(f"{path} was changed after it was exported (its checksum is wrong); get the bundle again.")
    manifest = from_data(Manifest, data, str(path))
    for name in dict.fromkeys((*FILES, *manifest.files)):
        _check_size(bundle, name, manifest.files.get(name))
    for name in (CARD, PREVIEW):
        check_file(bundle, manifest, name)
    return manifest


def check_file(bundle: Path, manifest: Manifest, name: str) -> Path:
    """Path of one of the bundle's files after its content was compared with its checksum."""
    path = bundle / name
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} can't be read ({_reason(error)}); get the bundle again.") from None
    if digest != manifest.files[name].sha256:
        raise UserError(f"{path} is damaged or was changed (its checksum is wrong); get the bundle again.")
    return path


def record_of(content: bytes) -> FileRecord:
    """Size and checksum of a file's content."""
    return FileRecord(len(content), hashlib.sha256(content).hexdigest())


def _check_is_bundle(bundle: Path) -> None:
    if not bundle.exists():
        raise UserError(f"There is no model bundle at {bundle}; check the path.")
    if not bundle.is_dir() or not (bundle / MANIFEST).is_file():
        raise UserError(
            f"{bundle} is not a model bundle (it has no {MANIFEST}); choose a folder of 'slicervae export'."
        )


def _check_size(bundle: Path, name: str, record: FileRecord | None) -> None:
    path = bundle / name
    if record is None or Path(name).name != name or not path.is_file():
        raise UserError(f"{bundle} lacks its file {name}; get or export the bundle again.")
    if path.stat().st_size != record.bytes:
        raise UserError(
            f"{path} is {path.stat().st_size:,} bytes long where {record.bytes:,} are expected: it is truncated or "
            "was replaced; get the bundle again."
        )


def _checksum(data: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of everything but the checksum itself."""
    content = {key: value for key, value in data.items() if key != "checksum"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is not valid JSON text"
