"""Find out what each latent of a model does: how much it carries, what it changes in the picture and where.

With --facts, a table of what is known of the patients (age, volumes, …), latents that follow a fact are named after it.
The result goes into the bundle, for explorers, and can be made anew whenever there are better facts; nothing is
trained."""

import argparse
import functools
import sys
from pathlib import Path

from .hardware import add_device
from .patients import add_patients, patients_of

LISTED = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="model folder that 'slicervae export' wrote")
    add_patients(parser)
    parser.add_argument(
        "--facts", type=Path, metavar="FILE", help="CSV table with a column 'patient', or JSON {patient: {fact: value}}"
    )
    parser.set_defaults(seed=0)  # nobody is kept aside here
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    """Describe the latents, and list the ones that change the picture most."""
    from ..console import cancel_on_interrupt, progress_bar
    from ..evaluation.known_facts import read_facts
    from ..evaluation.latent_space import describe_latents

    known = read_facts(options.facts) if options.facts else {}
    with (
        progress_bar("Describing the latents") as listener,
        cancel_on_interrupt("Stopped; the bundle is as it was.") as cancel,
    ):
        find = functools.partial(patients_of, options, cancel=cancel)
        facts = describe_latents(options.bundle, find, known, options.device, listener=listener, cancel=cancel)
    sys.stdout.write(f"{facts.active} latents are active. Those that change the picture most, −1 to +1:\n")
    for latent in facts.latents[:LISTED]:
        sys.stdout.write(f"  {latent.name}: {latent.influence:.3g} {facts.unit}, KL {latent.kl:.2f} nats\n")
