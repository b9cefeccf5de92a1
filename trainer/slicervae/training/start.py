"""A run that begins where another one arrived: the same network, images and split, with another objective.

So IntroVAE takes over a trained VAE (source 000 §4.4), without that being trained anew for each setting of the game.
"""

import dataclasses
from pathlib import Path

from SlicerVAELib.core.errors import UserError

from ..recipe import Recipe, load_recipe
from .run_folder import RunFolder

TAKEN_OVER = ("network", "preprocessing", "data")


def recipe_on(start: Path, name: str, changes: list[str]) -> Recipe:
    """The recipe ``name`` with ``changes``, on the network, preprocessing and data of the run ``start``.

    Raises UserError when that is no run, when its network is of another family, or when a change
    contradicts what is taken over.
    """
    folder = RunFolder(start)
    folder.check_is_run()
    of, plain, wanted = folder.recipe(), load_recipe(name), load_recipe(name, changes)
    if of.network.family != wanted.network.family:
        raise UserError(
            f"{start} is a run of {of.name}, whose network is of the family {of.network.family}; {name} needs one of "
            f"the family {wanted.network.family}. Begin from such a run."
        )
    for section in TAKEN_OVER:
        if getattr(wanted, section) not in (getattr(plain, section), getattr(of, section)):
            raise UserError(
                "A run takes over the network, the preprocessing and the data of the one it begins from; leave out "
                f"--set for {section}, or begin without --start-from."
            )
    share = of.training.validation_share
    if wanted.training.validation_share not in (plain.training.validation_share, share):
        raise UserError(
            f"The patients that validate are those of {start}; leave out --set validation_share, or begin without "
            "--start-from."
        )
    return dataclasses.replace(
        wanted,
        training=dataclasses.replace(wanted.training, validation_share=share),
        **{section: getattr(of, section) for section in TAKEN_OVER},
    )
