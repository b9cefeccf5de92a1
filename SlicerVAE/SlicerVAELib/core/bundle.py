"""Model bundles on disk: a folder of data that is checked when it is read and can't run anything.

bundle.json describes the model, weights.safetensors holds its arrays, card.md tells a person what it is, preview.png
shows it. Nothing in a bundle is executed or unpickled.
"""

import shutil
import tempfile
from pathlib import Path

import safetensors
import safetensors.torch

from .errors import UserError
from .manifest import CARD, MANIFEST, PREVIEW, WEIGHTS, Manifest, check_file, read_manifest, record_of
from .networks import Network, build


def write_bundle(folder: Path, manifest: Manifest, network: Network, *, card: str, preview: bytes) -> Manifest:
    """Write a bundle as the new folder ``folder`` and return its sealed manifest.

    The folder appears whole or not at all. Raises UserError when it exists already or can't be written.
    """
    if folder.exists():
        raise UserError(f"{folder} exists already; choose another name or remove it first.")
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    contents = {WEIGHTS: safetensors.torch.save(weights), CARD: card.encode("utf-8"), PREVIEW: preview}
    sealed = manifest.sealed({name: record_of(content) for name, content in contents.items()})
    contents[MANIFEST] = sealed.to_json().encode("utf-8")
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
        temporary.chmod(0o755)  # mkdtemp's 0700 would keep colleagues from reading the bundle
        temporary.rename(folder)
    except OSError as error:
        raise UserError(
            f"The bundle {folder} can't be written ({error.strerror}); free space or choose another place."
        ) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return sealed


def load_network(bundle: Path, manifest: Manifest | None = None) -> Network:
    """The bundle's network with its weights, on the CPU and in evaluation mode.

    Raises UserError for a damaged or foreign bundle.
    """
    manifest = manifest or read_manifest(bundle)
    path = check_file(bundle, manifest, WEIGHTS)
    network = build(manifest.network.family, manifest.network.settings, f"{bundle / MANIFEST}, network")
    try:
        weights = safetensors.torch.load_file(path)
        network.load_state_dict(weights)
    except (safetensors.SafetensorError, RuntimeError, KeyError):
        raise UserError(
            f"{path} does not hold the weights of a {manifest.network.family} network; export the bundle again."
        ) from None
    return network.eval().requires_grad_(False)
