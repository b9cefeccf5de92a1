"""What came of the benchmark's trainings, and the table and targets it is read in."""

import dataclasses
import statistics
from collections.abc import Iterable, Sequence

from .figure import HEADER, Figure
from .trials import Trial

COHORT_TITLES = {"mr": "brain MR (FLAIR)", "phantom": "chest CT (phantoms)"}
BOUNDED_GROWTH = 1.5


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one trial gave; errors are means over pixels in [0, 1], those of the test over slices that hold anything.

    ``divergence`` is empty, or says how the training ended badly. ``train_mse`` is that of the last epoch, the test's
    figures those of the weights that validated best. ``kl_growth`` is the KL divergence of the last epoch to that at
    two thirds of the training, and ``loss_fell`` whether the loss (−ELBO) of validation fell since: then a rising KL
    buys likelihood and ends with it. ``kl`` (in nats) and its growth are 0 for a model without one, as ``perplexity``
    and ``usage`` (the share of the codebook in use on validation images) are without codes. ``steps_per_s`` counts
    computing alone; ``computing_share`` is the computing's share of the time without validation. Both are 0 where they
    are not known.
    """

    trial: Trial
    divergence: str
    train_mse: float = 0.0
    test_mse: float = 0.0
    test_ms_ssim: float = 0.0
    kl: float = 0.0
    kl_growth: float = 0.0
    loss_fell: bool = False
    perplexity: float = 0.0
    usage: float = 0.0
    steps_per_s: float = 0.0
    computing_share: float = 0.0

    @property
    def line(self) -> str:
        """A row of the table."""
        trial = self.trial
        name = f"| {trial.title} | {trial.size} | {trial.steps} | {trial.seed} |"
        if self.divergence:
            return f"{name} {self.divergence} | | | | | | |"
        code = f"{self.perplexity:.0f} ({100 * self.usage:.0f} %)" if self.perplexity else ""
        kl = f"{self.kl:.1f} (×{self.kl_growth:.2f})" if self.kl else ""
        pace = f"{self.steps_per_s:.2f}" if self.steps_per_s else ""
        share = f"{100 * self.computing_share:.0f} %" if self.computing_share else ""
        return (
            f"{name} {self.train_mse:.5f} | {self.test_mse:.5f} | {self.test_ms_ssim:.3f} | {kl} | {code} | {pace} "
            f"| {share} |"
        )


TABLE_HEADER = (
    "| recipe | size | steps | seed | train MSE | test MSE | test MS-SSIM | KL (growth) | perplexity (usage) | steps/s "
    "| computing |\n" + "| --- " * 11 + "|"
)


def report(outcomes: Sequence[Outcome], speed: Sequence[Figure] = (), left_out: Sequence[Trial] = ()) -> str:
    """The tables and targets as Markdown, and which trials have no outcome yet."""
    parts = []
    for cohort, title in COHORT_TITLES.items():
        own = [outcome for outcome in outcomes if outcome.trial.cohort == cohort]
        if own:
            parts.append(f"### {title[0].upper()}{title[1:]}\n\n{TABLE_HEADER}\n" + "\n".join(o.line for o in own))
    figures = [figure.line for figure in (*targets(outcomes), *speed)]
    if figures:
        parts.append("### Targets\n\n" + "\n".join([HEADER, *figures]))
    if left_out:
        parts.append("### Left out\n\n" + "\n".join(f"- {trial.name}" for trial in left_out))
    return "\n\n".join(parts) + "\n"


def targets(outcomes: Sequence[Outcome]) -> list[Figure]:
    """What has to come out, as far as the trials for it were run; means over seeds."""
    figures = []
    for cohort, title in COHORT_TITLES.items():
        mse = _means(outcome for outcome in outcomes if outcome.trial.cohort == cohort)
        for name, other, most in (
            ("vqvae_adpt", "vae50", 0.4),
            ("svae16x16x32", "vae50", 1.0),
            ("vae8192", "vae50", 1.0),
            ("svae16x16x32", "svae3x3x9", 1.0),
            ("vqvae_8x8", "vqvae_std", 1.0),
            ("vqvae_adpt", "vqvae_8x8", 1.0),
        ):
            if name in mse and other in mse:
                figures.append(Figure(f"{title}: test MSE of {name} to {other}", mse[name] / mse[other], "×", most))
        adaptive = [o for o in outcomes if o.trial.cohort == cohort and o.trial.recipe == "vqvae_adpt"]
        usage = [outcome.usage for outcome in adaptive if not outcome.divergence]
        if usage:
            what = f"{title}: codebook usage of vqvae_adpt"
            figures.append(Figure(what, 100 * statistics.mean(usage), "%", 90, "at least"))
    if outcomes:
        figures.append(Figure("trainings that diverged", sum(bool(o.divergence) for o in outcomes), "", 0))
    growth = [outcome.kl_growth for outcome in outcomes if outcome.kl and not outcome.loss_fell]
    if growth:
        what = "largest growth of KL in the last third of a training, of those whose loss did not fall in it"
        figures.append(Figure(what, max(growth), "×", BOUNDED_GROWTH))
    return figures


def _means(outcomes: Iterable[Outcome]) -> dict[str, float]:
    by_recipe: dict[str, list[float]] = {}
    for outcome in outcomes:
        if not outcome.divergence:
            by_recipe.setdefault(outcome.trial.title, []).append(outcome.test_mse)
    return {name: statistics.mean(values) for name, values in by_recipe.items()}
