"""Learn where a model's latents really lie, so that its samples look like anatomy; goes into the bundle.

Gaussian latents get a mixture of Gaussians, codes (VQ-VAE) a network that knows which codes go together. Whole patients
are kept aside to judge the fit. The bundle holds no posterior of a single patient: every Gaussian stands for at least 5
slices of 2 patients. 'slicervae sample' then draws from the best prior that the bundle has."""

import argparse
import functools
import sys
from pathlib import Path

from .hardware import add_device
from .patients import add_patients, patients_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="model folder that 'slicervae export' wrote")
    add_patients(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="write a copy of the bundle instead of changing it")
    parser.add_argument("--seed", type=int, default=0, help="decides weights, order and noise")
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="passes of the finest stage (codes)")
    parser.add_argument("--filters", type=int, default=48, metavar="F", help="width of the networks (codes)")
    parser.add_argument("--layers", type=int, default=6, metavar="L", help="depth of the networks (codes)")
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    """Fit, and put the result into the bundle."""
    from SlicerVAELib.core.code_prior import CodePriorSettings
    from SlicerVAELib.core.records import from_data, to_data

    from ..console import cancel_on_interrupt, progress_bar
    from ..training.code_priors import CodePriorTraining
    from ..training.fit_prior import PriorPlan, fit_prior

    plan = PriorPlan(
        options.seed,
        options.device,
        CodePriorSettings(options.filters, options.layers),
        CodePriorTraining(epochs=options.epochs),
    )
    plan = from_data(PriorPlan, to_data(plan), "The command line")
    with (
        progress_bar("Fitting the prior") as listener,
        cancel_on_interrupt("Stopped; the bundle is as it was.") as cancel,
    ):
        find = functools.partial(patients_of, options, cancel=cancel)
        figures = fit_prior(options.bundle, find, plan, options.out, listener=listener, cancel=cancel)
    for name, value in figures.items():
        sys.stdout.write(f"{name}: {value:.4f}\n")
    bundle = options.out or options.bundle
    sys.stdout.write(f"Next: slicervae sample {bundle} --out DIR\n")
