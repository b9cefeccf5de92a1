"""Parts that a bundle may gain after it was exported: a learned prior, the facts about its latents, a calibration.

A part is one or more files beside the weights. They are listed with size and checksum in bundle.json as the other files
are, so the bundle's checksum, which names what made an output, changes with them; the weights' own checksum does not.
"""

import contextlib
import os
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path

from .errors import UserError
from .manifest import FILES, MANIFEST, WEIGHTS, Manifest, check_file, read_manifest, record_of


def write_parts(bundle: Path, contents: Mapping[str, bytes]) -> Manifest:
    """Add files to a bundle, in the place of those of the same names, and return its new manifest.

    Whatever interrupts it, the bundle stays one that can be read, with the part as it was, as it becomes or without it.
    Raises UserError for what is no bundle or can't be written.
    """
    manifest = read_manifest(bundle)
    assert not set(contents) & {*FILES, MANIFEST}, "what a bundle can't be without is not replaced piece by piece"
    without = {name: record for name, record in manifest.files.items() if name not in contents}
    complete = manifest.sealed(without | {name: record_of(content) for name, content in contents.items()})
    try:
        if len(without) < len(manifest.files):
            # bundle.json is the switch: while files are exchanged it does not speak of them.
            _replace(bundle / MANIFEST, manifest.sealed(without).to_json().encode())
        for name, content in contents.items():
            _replace(bundle / name, content)
        _replace(bundle / MANIFEST, complete.to_json().encode())
    except OSError as error:
        raise UserError(
            f"{bundle} can't be written ({error.strerror}); free space, or work on a copy that you may change."
        ) from None
    return complete


def has_part(manifest: Manifest, names: Collection[str]) -> bool:
    """Whether the bundle lists all of these files."""
    return all(name in manifest.files for name in names)


def read_part(bundle: Path, manifest: Manifest, name: str) -> bytes:
    """Content of a part's file that the manifest lists, checked against its checksum. Raises UserError."""
    return check_file(bundle, manifest, name).read_bytes()


def weights_checksum(manifest: Manifest) -> str:
    """SHA-256 of the weights: what a part belongs to, whichever parts there are beside it."""
    return manifest.files[WEIGHTS].sha256


def check_belongs(weights_sha256: str, bundle: Path, manifest: Manifest, part: str, command: str) -> None:
    """Raise UserError when a part was made for other weights than the bundle's; ``command`` is what makes it anew."""
    if weights_sha256 != weights_checksum(manifest):
        raise UserError(f"The {part} in {bundle} was made for another model; run 'slicervae {command}' on this one.")


def _replace(path: Path, content: bytes) -> None:
    """The whole file or none of it, also after a loss of power."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
