"""What the benchmark of recipes trains: which recipe, on which cohort, how long."""

import contextlib
import dataclasses
from collections.abc import Collection, Sequence
from typing import Any, Literal

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build

from ..recipe import Recipe, load_recipe, recipe_names
from .budgets import CUBE_STEPS, FULL_SEEDS, FULL_SIDE, FULL_STEPS, SMALL_STEPS, Budget

Cohort = Literal["mr", "phantom"]

COHORTS: tuple[Cohort, ...] = ("mr", "phantom")
SIDES = (64, 128, 256)
# The recipes that the targets compare; the others take part in the small budget only.
COMPARED = ("vae50", "vqvae_adpt", "svae16x16x32", "svae3x3x9", "vae8192", "vqvae_std", "vqvae_8x8")

# Settings besides the recipe's own that are worth a trial: the recipe, what the trial is called, and the settings.
VARIANTS = {"with-prior-images": ("rtvae2d", ("augment_by_prior=10", "augment_by_prior_epochs=5"))}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of the benchmark, of as many epochs as come nearest to ``steps``; ``size`` is the image side in
    pixels, ``variant`` one of ``VARIANTS`` or empty."""

    recipe: str
    cohort: Cohort
    size: int
    steps: int
    seed: int = 0
    variant: str = ""

    @property
    def title(self) -> str:
        """Recipe and variant."""
        return f"{self.recipe} {self.variant}".strip()

    @property
    def name(self) -> str:
        """A name for its folder and for a person."""
        return f"{self.cohort}-{self.size}-{self.title.replace(' ', '-')}-seed{self.seed}"

    @property
    def changes(self) -> tuple[str, ...]:
        """The variant's settings."""
        return VARIANTS[self.variant][1] if self.variant else ()


def trials_of(budget: Budget, recipes: Sequence[str] = (), cohort: Cohort | None = None) -> list[Trial]:
    """The trials of a budget, of some recipes (all when empty) on one cohort or both, those of one cohort together.

    Raises UserError for a recipe that there is not or that the full budget does not compare, and when none is left.
    """
    chosen = [load_recipe(name) for name in recipes or recipe_names()]
    cohorts = [cohort] if cohort else COHORTS
    if budget == "small":
        trials = [trial for place in cohorts for recipe in chosen for trial in _small(recipe, place)]
    else:
        trials = _full({recipe.name for recipe in chosen}, cohorts)
        others = [name for name in recipes if name not in COMPARED]
        if others:
            raise UserError(f"The full budget has no trial of '{others[0]}'; it compares {', '.join(COMPARED)}.")
    if not trials:
        raise UserError(f"No trial of {', '.join(recipes)} is made on the cohort '{cohort}'; choose the other cohort.")
    return trials


def _full(recipes: Collection[str], cohorts: Sequence[Cohort]) -> list[Trial]:
    """Seed by seed, so that the targets can be read from the first ones already."""
    return [
        Trial(name, cohort, FULL_SIDE, FULL_STEPS, seed)
        for cohort in cohorts
        for seed in range(FULL_SEEDS)
        for name in COMPARED
        if name in recipes
    ]


def _small(recipe: Recipe, cohort: Cohort) -> list[Trial]:
    if cohort == "mr" and recipe.data.structures:  # of which the brains have none
        return []
    size = smallest_size(recipe.network.family, recipe.network.settings)
    is_cube = recipe.network.settings.get("dimensions") == 3
    plain = Trial(recipe.name, cohort, size, CUBE_STEPS if is_cube else SMALL_STEPS)
    variants = [name for name, (of, _) in VARIANTS.items() if of == recipe.name]
    return [plain, *(dataclasses.replace(plain, variant=name) for name in variants)]


def smallest_size(family: str, settings: dict[str, Any]) -> int:
    """The least of the common image sides that a network can have, in pixels. Raises UserError when it has none."""
    *smaller, largest = SIDES
    for side in smaller:
        with contextlib.suppress(UserError):
            build(family, {**settings, "size": side})
            return side
    build(family, {**settings, "size": largest})
    return largest
