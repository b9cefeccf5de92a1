"""What the benchmark of recipes trains: which recipe, on which cohort, how long."""

import dataclasses
from typing import Any, Literal

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build

from ..recipe import Recipe, load_recipe, recipe_names

Cohort = Literal["mr", "phantom"]
Budget = Literal["small", "full"]

SMALL_STEPS, FULL_STEPS = 300, 2000
CUBE_STEPS = 60  # a cube has as many voxels as 64 slices
SIDES = (64, 128, 256)
FULL_SIDE, FULL_SEEDS = 128, 3
# The recipes that the targets compare; the others take part in the small budget only.
COMPARED = ("vae50", "vqvae_adpt", "svae16x16x32", "svae3x3x9", "vae8192", "vqvae_std", "vqvae_8x8")


# Settings besides the recipe's own that are worth a trial: the recipe, what the trial is called, and the settings.
VARIANTS = {"with-prior-images": ("rtvae2d", ("augment_by_prior=10", "augment_by_prior_epochs=5"))}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of the benchmark; ``variant`` is one of ``VARIANTS`` or empty."""

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


def trials_of(budget: Budget, recipes: list[str]) -> list[Trial]:
    """Every trial of a budget, those of one cohort together. Raises UserError for an unknown recipe."""
    chosen = recipes or recipe_names()
    cohorts: tuple[Cohort, ...] = ("mr", "phantom")
    if budget == "small":
        return [trial for cohort in cohorts for name in chosen for trial in _small(load_recipe(name), cohort)]
    for name in recipes:
        if name not in COMPARED:
            raise UserError(f"The full budget has no trial of '{name}'; it compares {', '.join(COMPARED)}.")
    return [
        Trial(name, cohort, FULL_SIDE, FULL_STEPS, seed)
        for cohort in cohorts
        for seed in range(FULL_SEEDS)
        for name in COMPARED
        if name in chosen
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
    """The least of the common image sides that a network can have, in pixels."""
    for side in SIDES:
        try:
            build(family, {**settings, "size": side})
        except UserError:
            continue
        return side
    raise UserError(f"The family {family} takes none of the sizes {SIDES}.")
