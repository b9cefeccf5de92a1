"""From a bundle and its patients to priors in the bundle: what ``slicervae fit-prior`` does."""

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.code_prior import CodePriorSettings
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import Manifest, read_manifest
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.networks.codebook import CodeNetwork
from SlicerVAELib.core.placement import choose_device
from SlicerVAELib.core.progress import Cancel, Listener, part_of
from SlicerVAELib.core.synthesis_parts import FittedPriors, PriorDescription, write_priors
from SlicerVAELib.io.write import OutputFolder

from ..data.by_patient import Patients
from .code_priors import CodePriorTraining, fit_code_prior
from .latents import EncodedSlices, encode_patients
from .mixtures import aggregated_posterior, fit_mixture

PREPARED, ENCODED = 0.05, 0.1  # of the progress bar

FindPatients = Callable[[Manifest, Listener], Patients]


@dataclasses.dataclass(frozen=True)
class PriorPlan:
    """How priors are fitted. ``codes`` and ``training`` matter for models of codes alone."""

    seed: int
    device: str
    codes: CodePriorSettings
    training: CodePriorTraining


def fit_prior(
    bundle: Path, find_patients: FindPatients, plan: PriorPlan, out: Path | None, *, listener: Listener, cancel: Cancel
) -> dict[str, float]:
    """Fit what suits the bundle's latents, and put it into the bundle, or into a copy of it in the new folder ``out``.

    Gaussian latents get a mixture and the aggregated posterior, codes a learned prior. Returns the figures in nats.
    Raises UserError, also for a plain autoencoder, and Cancelled; then the bundle is as it was.
    """
    manifest = read_manifest(bundle)
    network = load_network(bundle, manifest)
    if network.latent.kind == "point":
        raise UserError(f"{manifest.title} is a plain autoencoder; a prior needs a variational model or codes.")
    _check_place(bundle, out)
    patients = find_patients(manifest, part_of(listener, 0.0, PREPARED))
    device = choose_device(plan.device)
    slices = encode_patients(network, patients.images, device, part_of(listener, PREPARED, ENCODED), cancel)
    network.cpu()
    training, validation = slices.of(patients.training), slices.of(patients.validation)
    fit = _fit_codes if isinstance(network, CodeNetwork) else _fit_mixtures
    fitted, figures = fit(network, training, validation, plan, part_of(listener, ENCODED, 1.0), cancel)
    cancel.check()
    description = PriorDescription(
        weights_sha256="", patients=len(patients.training), slices=len(training), seed=plan.seed, figures=figures
    )
    if out is None:
        write_priors(bundle, manifest, fitted, description)
        return figures
    with OutputFolder(out) as folder:
        shutil.copytree(bundle, folder, dirs_exist_ok=True)
        write_priors(folder, manifest, fitted, description)
    return figures


def _check_place(bundle: Path, out: Path | None) -> None:
    """Refuse before the work, and not after it."""
    if out is not None and out.exists():
        raise UserError(f"{out} exists already; choose another --out or remove it first.")
    if out is None and not os.access(bundle, os.W_OK):
        raise UserError(f"{bundle} can't be written; give --out DIR for a copy with the prior in it.")


def _fit_mixtures(
    network: Network,
    training: EncodedSlices,
    validation: EncodedSlices,
    plan: PriorPlan,
    listener: Listener,
    cancel: Cancel,
) -> tuple[FittedPriors, dict[str, float]]:
    best = fit_mixture(training, validation, network.latent, plan.seed, listener, cancel)
    aggregated = aggregated_posterior(training, network.latent, plan.seed)
    fitted = FittedPriors({"mixture": best.mixture, "aggregated-posterior": aggregated})
    return fitted, {
        "mixture, validation nats per draw": -best.validation,
        "standard prior, validation nats per draw": -best.standard,
    }


def _fit_codes(
    network: Network,
    training: EncodedSlices,
    validation: EncodedSlices,
    plan: PriorPlan,
    listener: Listener,
    cancel: Cancel,
) -> tuple[FittedPriors, dict[str, float]]:
    assert isinstance(network, CodeNetwork)
    best = fit_code_prior(
        training.codes,
        validation.codes,
        network,
        plan.codes,
        plan.training,
        seed=plan.seed,
        device=choose_device(plan.device),
        listener=listener,
        cancel=cancel,
    )
    figures = {"training nats per code": best.training, "validation nats per code": best.validation}
    return FittedPriors(codes=best.prior), figures
