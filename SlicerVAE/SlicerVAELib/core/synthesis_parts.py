"""The priors kept in a bundle: prior.json describes them, prior.safetensors holds their arrays.

What is drawn from is chosen here by name. "standard" is the prior that the model was trained with; "mixture" and
"aggregated-posterior" are mixtures of Gaussians, "learned-codes" a network over codes. "auto" is the best that the
bundle has.

Neither file holds a patient's posterior: the Gaussians of both mixtures stand for at least ``SMALLEST_CLUSTER`` slices
of ``FEWEST_PATIENTS`` patients each, which ``slicervae fit-prior`` sees to.
"""

import dataclasses
import json
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from .bundle_parts import check_belongs, has_part, read_part, weights_checksum, write_parts
from .code_prior import CodePrior, CodePriorSettings
from .errors import UserError
from .manifest import Manifest
from .networks import Network
from .networks.codebook import CodeNetwork
from .records import from_data, to_data
from .synthesis import Prior, StandardPrior
from .synthesis_codes import LearnedCodes
from .synthesis_mixture import GaussianMixture

DESCRIPTION, ARRAYS = "prior.json", "prior.safetensors"
VERSION = 1
BEST_FIRST = ("learned-codes", "mixture", "standard")
MIXTURES = {"mixture": "mixture", "aggregated-posterior": "aggregated posterior"}
SMALLEST_CLUSTER, FEWEST_PATIENTS = 5, 2


@dataclasses.dataclass(frozen=True)
class MixtureSize:
    """Numbers of Gaussians K and of their shared factors R; see ``GaussianMixture``."""

    components: int = dataclasses.field(metadata={"min": 1, "max": 65_536})
    rank: int = dataclasses.field(metadata={"min": 0, "max": 65_536})


@dataclasses.dataclass(frozen=True)
class PriorDescription:
    """What prior.json holds. ``weights_sha256`` is that of the weights whose latents these are, ``figures`` what the
    fit reached on training and validation patients, in nats."""

    weights_sha256: str
    patients: int
    slices: int
    seed: int
    figures: dict[str, float]
    mixtures: dict[str, MixtureSize] = dataclasses.field(default_factory=dict)
    codes: CodePriorSettings | None = None
    version: int = dataclasses.field(default=VERSION, metadata={"min": 1, "max": VERSION})


@dataclasses.dataclass(frozen=True, eq=False)
class FittedPriors:
    """The priors of a bundle: what ``slicervae fit-prior`` makes."""

    mixtures: dict[str, GaussianMixture] = dataclasses.field(default_factory=dict)
    codes: CodePrior | None = None


def write_priors(bundle: Path, manifest: Manifest, fitted: FittedPriors, description: PriorDescription) -> Manifest:
    """Put fitted priors into a bundle, in the place of those it has; returns its new manifest.

    ``description`` need not tell the sizes and weights, which follow from ``fitted`` and ``manifest``.
    """
    mixtures = {name: MixtureSize(*mixture.factors.shape[::2]) for name, mixture in fitted.mixtures.items()}
    codes = None if fitted.codes is None else fitted.codes.settings
    complete = dataclasses.replace(
        description, weights_sha256=weights_checksum(manifest), mixtures=mixtures, codes=codes
    )
    arrays = {
        f"{name}.{array}": getattr(mixture, array).contiguous()
        for name, mixture in fitted.mixtures.items()
        for array in ("weights", "means", "factors", "deviations")
    }
    if fitted.codes is not None:
        arrays |= {f"codes.{name}": tensor.cpu().contiguous() for name, tensor in fitted.codes.state_dict().items()}
    text = json.dumps(to_data(complete), indent=2, ensure_ascii=False) + "\n"
    return write_parts(bundle, {ARRAYS: safetensors.torch.save(arrays), DESCRIPTION: text.encode()})


def prior_of(name: str, network: Network, bundle: Path, manifest: Manifest) -> Prior:
    """The prior ``name`` of a bundle. Raises UserError for one that it does not have, or that is damaged."""
    if name == "standard" or not has_part(manifest, (DESCRIPTION, ARRAYS)):
        if name not in ("auto", "standard"):
            raise UserError(f"{manifest.title} has no prior '{name}'; run 'slicervae fit-prior' or choose 'auto'.")
        return StandardPrior(network)
    priors = _read_priors(network, bundle, manifest)
    chosen = next(each for each in BEST_FIRST if each in priors) if name == "auto" else name
    if chosen not in priors:
        fitting = ", ".join(f"'{each}'" for each in ("auto", *priors))
        raise UserError(f"{manifest.title} has no prior '{name}'; choose {fitting}.")
    return priors[chosen]


def code_prior_of(network: Network, bundle: Path, manifest: Manifest) -> CodePrior | None:
    """The learned prior over codes of a bundle, None where it has none. Raises UserError for a damaged one."""
    if not has_part(manifest, (DESCRIPTION, ARRAYS)):
        return None
    return _fitted(network, bundle, manifest).codes


def _read_priors(network: Network, bundle: Path, manifest: Manifest) -> dict[str, Prior]:
    fitted = _fitted(network, bundle, manifest)
    priors: dict[str, Prior] = {"standard": StandardPrior(network), **fitted.mixtures}
    if fitted.codes is not None and isinstance(network, CodeNetwork):
        priors["learned-codes"] = LearnedCodes(fitted.codes, network)
    return priors


def _fitted(network: Network, bundle: Path, manifest: Manifest) -> FittedPriors:
    path = bundle / DESCRIPTION
    try:
        data = json.loads(read_part(bundle, manifest, DESCRIPTION))
        arrays = safetensors.torch.load(read_part(bundle, manifest, ARRAYS))
    except (ValueError, RecursionError, safetensors.SafetensorError):
        raise _damaged(bundle) from None
    description = from_data(PriorDescription, data, str(path))
    check_belongs(description.weights_sha256, bundle, manifest, "prior", "fit-prior")
    if not all(bool(torch.isfinite(array).all()) for array in arrays.values()):
        raise _damaged(bundle)
    try:
        mixtures = {name: _mixture(name, size, arrays, network) for name, size in description.mixtures.items()}
        codes = None if description.codes is None else _codes(description.codes, arrays, network)
    except (KeyError, RuntimeError, ValueError):
        raise _damaged(bundle) from None
    return FittedPriors(mixtures, codes)


def _mixture(name: str, size: MixtureSize, arrays: dict[str, torch.Tensor], network: Network) -> GaussianMixture:
    count, dimension = size.components, network.latent.size
    shapes = {
        "weights": (count,),
        "means": (count, dimension),
        "factors": (count, dimension, size.rank),
        "deviations": (count, dimension),
    }
    if network.latent.kind != "gaussian":
        raise ValueError("a mixture is of Gaussian latents")
    parts = {key: arrays[f"{name}.{key}"] for key in shapes}
    if any(tuple(parts[key].shape) != shape or parts[key].dtype != torch.float32 for key, shape in shapes.items()):
        raise ValueError("arrays of other shapes than described")
    return GaussianMixture(MIXTURES[name], network.latent.shape, **parts)


def _codes(settings: CodePriorSettings, arrays: dict[str, torch.Tensor], network: Network) -> CodePrior:
    if network.latent.kind != "codes":
        raise ValueError("a prior over codes is of codes")
    with torch.device("meta"):  # the arrays take their places; nothing is initialised for nothing
        prior = CodePrior(network.latent, settings)
    prefix = "codes."
    state = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    prior.load_state_dict(state, assign=True)
    return prior.eval().requires_grad_(False)


def _damaged(bundle: Path) -> UserError:
    return UserError(f"The prior in {bundle} is damaged or of another model; run 'slicervae fit-prior' again.")
