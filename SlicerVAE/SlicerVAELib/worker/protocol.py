"""Messages between a client and the worker: version 5 of the protocol.

Transport
    The client starts ``python -m SlicerVAELib.worker --scratch FOLDER`` with a private folder for arrays. Messages are
    JSON lines on the worker's standard input (client → worker) and standard output (worker → client): one object a
    line, UTF-8 (the writers here escape everything beyond ASCII), ended by a line feed, at most ``MAX_LINE`` bytes. The
    worker's standard error is free text for a log. Closing the worker's standard input ends the worker at once.

Client → worker
    ``{"kind": "info", "id": n}``                        what the engine runs on; answered by an EngineInfo
    ``{"kind": "reconstruct", "id": n, "request": …}``   a ReconstructRequest; answered by a Reconstruction
    ``{"kind": "synthesize", "id": n, "request": …}``    a SynthesizeRequest; answered by a Synthesis
    ``{"kind": "encode", "id": n, "request": …}``        an EncodeRequest; answered by an EncodedVolume
    ``{"kind": "decode", "id": n, "request": …}``        a DecodeRequest; answered by a Synthesis
    ``{"kind": "latents", "id": n, "request": …}``       a LatentsRequest; answered by a SliceLatents
    ``{"kind": "cancel", "id": n}``                      stop request n; ignored when n is not being worked on

Worker → client
    ``{"kind": "ready", "protocol": 5, "process_id": p, "software": "SlicerVAE 0.1.0"}``
    ``{"kind": "progress", "id": n, "progress": {"fraction": 0.5, "stage": "…", "remaining_s": 3.2}}``
    ``{"kind": "result", "id": n, "result": …}``
    ``{"kind": "failed", "id": n, "error": "…", "message": "…", "detail": "…"}``

Order
    The worker sends ``ready`` once, when its engine can work, before any other message; a ``failed`` in its place
    (id null) says why the engine can't be had, and the worker ends. A client may send before ``ready``. Every request
    is answered by any number of ``progress`` (at most 20 a second for one stage), then exactly one ``result`` or
    ``failed``. The worker answers one request at a time and refuses another one meanwhile. Ids are whole numbers chosen
    by the client and not used twice.

Errors
    ``user`` something a person can mend; ``cancelled``; ``busy`` refused, because another request is being worked on;
    ``protocol`` the worker could not read a message (id null where it could not even read that); ``internal`` a
    fault of the program. ``message`` is one sentence for a person, ``detail`` a traceback for a log, mostly empty.

Values
    ``request`` and ``result`` are the dataclasses of ``core.engine``, field by field. Two kinds of value that JSON
    lacks are written as an object with a single entry: an array as ``{"$array": {"file", "dtype", "shape"}}``, a file
    in the scratch folder (see ``arrays``), and a path as ``{"$path": "…"}``, always absolute. The names in a mapping
    that begin with ``$`` are written with one ``$`` more. Numbers are finite.

Garbage
    Both sides ignore empty lines and survive everything else. The worker answers what it can't read with ``failed``
    and goes on; the client ignores it, because libraries and launchers print.

Version rule
    Any change to what either side writes or accepts, the dataclasses of ``core.engine`` included, raises
    ``PROTOCOL_VERSION``. The client compares it with the one in ``ready`` and talks to no other; ``kind`` and
    ``protocol`` of ``ready`` keep their names and meaning for ever.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from ..core.errors import UserError, nearest
from ..core.progress import Progress
from ..core.records import from_data, to_data

PROTOCOL_VERSION = 5
MAX_LINE = 4 * 2**20

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class Info:
    """Client → worker: what does the engine run on?"""

    id: int


@dataclasses.dataclass(frozen=True)
class Reconstruct:
    """Client → worker: a packed ReconstructRequest."""

    id: int
    request: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Synthesize:
    """Client → worker: a packed SynthesizeRequest."""

    id: int
    request: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Encode:
    """Client → worker: a packed EncodeRequest."""

    id: int
    request: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Decode:
    """Client → worker: a packed DecodeRequest."""

    id: int
    request: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Latents:
    """Client → worker: a packed LatentsRequest."""

    id: int
    request: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Cancel:
    """Client → worker: stop request ``id``."""

    id: int


@dataclasses.dataclass(frozen=True)
class Ready:
    """Worker → client: the engine can work. ``process_id`` is the worker's own, behind any launcher."""

    protocol: int
    # Numbers below 2 would name every process, or the first one, to whoever ends the worker by this number.
    process_id: int = dataclasses.field(metadata={"min": 2})
    software: str


@dataclasses.dataclass(frozen=True)
class ProgressReport:
    """Worker → client: how far request ``id`` is."""

    id: int
    progress: Progress


@dataclasses.dataclass(frozen=True)
class Result:
    """Worker → client: the packed answer to request ``id``."""

    id: int
    result: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Failed:
    """Worker → client: request ``id`` (None: no certain one) came to nothing; ``message`` is for a person."""

    id: int | None
    error: Literal["user", "cancelled", "busy", "protocol", "internal"]
    message: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class ArrayReference:
    """Where an array lies: a file name in the scratch folder; numpy's name of its type, with byte order; its sizes."""

    file: str
    dtype: str
    shape: tuple[int, ...]


Work = Reconstruct | Synthesize | Encode | Decode | Latents
Request = Info | Work | Cancel
Answer = Ready | ProgressReport | Result | Failed

REQUESTS: dict[str, type] = {
    "info": Info,
    "reconstruct": Reconstruct,
    "synthesize": Synthesize,
    "encode": Encode,
    "decode": Decode,
    "latents": Latents,
    "cancel": Cancel,
}
ANSWERS: dict[str, type] = {"ready": Ready, "progress": ProgressReport, "result": Result, "failed": Failed}
_NAMES = {kind: name for name, kind in (REQUESTS | ANSWERS).items()}


class BadMessage(ValueError):
    """A line that is no message; ``id`` is the request it meant, where that much could be read."""

    def __init__(self, reason: str, message_id: int | None = None) -> None:
        super().__init__(reason)
        self.id = message_id


class WrongVersion(BadMessage):
    """The other side speaks another version of the protocol."""


def encode(message: Request | Answer) -> bytes:
    """Return ``message`` as one line. Raises UserError when it is too long or holds a number that is not finite."""
    name = _NAMES[type(message)]
    data = {"kind": name, **to_data(message)}
    try:
        line = json.dumps(data, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
    except ValueError as error:
        raise UserError(f"The message '{name}' to or from the worker can't be written: {error}.") from error
    if len(line) > MAX_LINE:
        raise UserError(f"The message '{name}' to or from the worker has {len(line)} bytes; {MAX_LINE} are allowed.")
    return line


def decode(line: bytes | None, kinds: Mapping[str, type]) -> Any:
    """Return the message in ``line`` (None: a line that was too long), one of ``kinds``.

    Raises BadMessage, with the reason as one sentence, for anything else.
    """
    if line is None:
        raise BadMessage(f"The line is longer than {MAX_LINE} bytes.")
    try:
        data = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"The line is no JSON: {str(error) or type(error).__name__}.") from error
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise BadMessage("The line is no JSON object with a 'kind'.")
    name = data.pop("kind")
    if name not in kinds:
        raise BadMessage(f"There is no message '{name[:40]}'; {nearest(name[:40], kinds)}", _id_of(data))
    if name == "ready" and data.get("protocol") != PROTOCOL_VERSION:
        raise WrongVersion(
            f"The worker speaks version {data.get('protocol')!r} of the protocol and this program version "
            f"{PROTOCOL_VERSION}; install the same version of SlicerVAE for both."
        )
    try:
        return from_data(kinds[name], data, f"The message '{name}'")
    except UserError as error:
        raise BadMessage(str(error), _id_of(data)) from error


def _id_of(data: Mapping[str, Any]) -> int | None:
    value = data.get("id")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class Lines:
    """Cuts a stream of bytes into lines, however it arrives; keeps at most ``MAX_LINE`` bytes."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """Return the lines that ``data`` completes, without empty ones; None stands for one that was too long."""
        lines: list[bytes | None] = []
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._append(end)
            if self._too_long:
                lines.append(None)
            elif self._rest.strip():
                lines.append(bytes(self._rest))
            self._rest.clear()
            self._too_long = False
        self._append(rest)
        return lines

    def _append(self, part: bytes) -> None:
        if self._too_long or len(self._rest) + len(part) >= MAX_LINE:
            self._too_long = True
            self._rest.clear()
        else:
            self._rest += part


def pack(value: Any, write: Callable[[np.ndarray], ArrayReference]) -> Any:
    """Return ``value``, a dataclass of ``core.engine``, as what JSON can hold; ``write`` puts an array away."""
    if isinstance(value, np.ndarray):
        return {"$array": to_data(write(value))}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return {"$path": str(value.absolute())}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: pack(getattr(value, field.name), write) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {"$" + key if key.startswith("$") else key: pack(item, write) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [pack(item, write) for item in value]
    return to_data(value)


def unpack(kind: type[Value], data: Any, read: Callable[[ArrayReference], np.ndarray], where: str) -> Value:
    """Return the dataclass ``kind`` that ``pack`` wrote as ``data``; ``read`` gets an array back.

    ``where`` begins the sentence of the UserError raised for data that is none.
    """
    try:
        return from_data(kind, _restore(data, read), where)
    except (ValueError, TypeError, RecursionError) as error:  # among them the dataclasses' own checks
        raise UserError(f"{where} does not hold together: {error}.") from error


def _restore(value: Any, read: Callable[[ArrayReference], np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_restore(item, read) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$array"}:
        return read(from_data(ArrayReference, value["$array"], "The reference to an array"))
    if set(value) == {"$path"}:
        return Path(str(value["$path"]))
    return {key.removeprefix("$"): _restore(item, read) for key, item in value.items()}
