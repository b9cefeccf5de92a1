"""Model bundles on disk: a folder of data that is checked when it is read and can't run anything.

bundle.json describes the model, weights.safetensors holds its arrays, card.md tells a person what it is, preview.png
shows it. What it may gain later is in ``core.bundle_parts``. Nothing in a bundle is executed or unpickled.
"""

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from .errors import UserError
from .manifest import CARD, MANIFEST, PREVIEW, WEIGHTS, Manifest, check_file, read_manifest, record_of
from .networks import Network, build
from .records import from_data, to_data


def write_bundle(
    folder: Path,
    manifest: Manifest,
    network: Network,
    *,
    card: str,
    preview: bytes,
    stored_as: torch.dtype = torch.float32,
) -> Manifest:
    """Write a bundle as the new folder ``folder`` and return its sealed manifest.

    ``stored_as`` torch.float16 halves its size; the network computes in single precision all the same. The
    folder appears whole or not at all. Raises UserError when it exists already, can't be written, or would be refused
    when it is read.
    """
    weights = {name: _stored(tensor, stored_as) for name, tensor in network.state_dict().items()}
    contents = {WEIGHTS: safetensors.torch.save(weights), CARD: card.encode("utf-8"), PREVIEW: preview}
    sealed = manifest.sealed({name: record_of(content) for name, content in contents.items()})
    contents[MANIFEST] = sealed.to_json().encode("utf-8")
    from_data(Manifest, to_data(sealed), str(folder / MANIFEST))
    _network_of(sealed, weights, folder)
    try:
        if folder.exists():
            raise UserError(f"{folder} exists already; choose another name or remove it first.")
        with _new_folder(folder) as temporary:
            for name, content in contents.items():
                (temporary / name).write_bytes(content)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"The bundle {folder} can't be written ({reason}); free space or choose another place."
        ) from None
    return sealed


def _stored(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A weight as it is written: of ``dtype``, unless it counts something."""
    return tensor.detach().cpu().to(dtype if tensor.is_floating_point() else tensor.dtype).contiguous()


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` that takes its name when the block ends well; otherwise nothing is left behind."""
    made = [parent for parent in folder.parents if not parent.exists()]
    temporary = folder.with_name(f".{folder.name[:100]}.{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            for parent in made:
                parent.rmdir()
        raise


def load_network(bundle: Path, manifest: Manifest | None = None) -> Network:
    """The bundle's network with its weights, on the CPU and in evaluation mode.

    Raises UserError for a damaged or foreign bundle.
    """
    manifest = manifest or read_manifest(bundle)
    path = check_file(bundle, manifest, WEIGHTS)
    try:
        weights = safetensors.torch.load_file(path)
    except safetensors.SafetensorError:
        raise UserError(f"{path} holds no weights that can be read; export the bundle again.") from None
    return _network_of(manifest, weights, bundle)


def _network_of(manifest: Manifest, weights: dict[str, torch.Tensor], bundle: Path) -> Network:
    network = build(manifest.network.family, manifest.network.settings, f"{bundle / MANIFEST}, network")
    path = bundle / WEIGHTS
    try:
        network.load_state_dict(weights)
    except (RuntimeError, KeyError):
        raise UserError(
            f"{path} does not hold the weights of the {manifest.network.family} network that {MANIFEST} describes; "
            "export the bundle again."
        ) from None
    _check_fits(network, manifest, bundle)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise UserError(f"{path} holds weights that are not numbers (NaN or infinite); train the model again.")
    return network.eval().requires_grad_(False)


def _check_fits(network: Network, manifest: Manifest, bundle: Path) -> None:
    """Refuse a network of other images than the preprocessing makes."""
    made = manifest.preprocessing
    takes = (network.image_size, network.dimensions, network.channels, network.structure_channels)
    gets = (made.size, made.dimensions, made.channel_count, made.structure_channels)
    if takes != gets:
        raise UserError(
            f"{bundle} has a network for {_described(*takes)}, but prepares {_described(*gets)}; export it again."
        )


def _described(size: int, dimensions: int, channels: int, structure_channels: int) -> str:
    kind = "cubes" if dimensions == 3 else "images"
    structures = f", {structure_channels} of them of structures" if structure_channels else ""
    return f"{kind} of {size} pixels and {channels} channel(s){structures}"
