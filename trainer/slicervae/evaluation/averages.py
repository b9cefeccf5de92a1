"""Figures of trials, averaged over those of one model."""

import dataclasses
import statistics
from collections.abc import Iterable, Sequence

from .features import FeatureNetwork
from .samples import SampleQuality
from .trial import Trial


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a figure is called, in which unit, and how it is written."""

    name: str
    unit: str = ""
    form: str = ".4f"


@dataclasses.dataclass(frozen=True)
class Average:
    """Mean over ``trials`` and their standard deviation (n − 1), 0 for a single one."""

    mean: float
    deviation: float
    trials: int

    def in_words(self, figure: Figure) -> str:
        """Mean ± deviation, or the mean alone of a single trial, with the unit."""
        spread = f" ± {self.deviation:{figure.form}}" if self.trials > 1 else ""
        return f"{self.mean:{figure.form}}{spread} {figure.unit}".rstrip()


def average(values: Sequence[float]) -> Average:
    """The average of at least one value."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return Average(statistics.fmean(values), deviation, len(values))


def averages_of(trials: Iterable[Trial], features: FeatureNetwork | None) -> dict[Figure, Average]:
    """All figures of the trials of one model; each over those trials that have it."""
    values: dict[Figure, list[float]] = {}
    for trial in trials:
        for figure, value in figures_of(trial, features).items():
            values.setdefault(figure, []).append(value)
    return {figure: average(of_trials) for figure, of_trials in values.items()}


def figures_of(trial: Trial, features: FeatureNetwork | None) -> dict[Figure, float]:
    """The figures of one trial, in the order that they are told in."""
    figures: dict[Figure, float] = {}
    for role, reading in trial.readings.items():
        quality = reading.quality
        figures[Figure(f"{role} MSE", form=".5f")] = quality.mse
        figures[Figure(f"{role} PSNR", "dB", ".2f")] = quality.psnr
        figures[Figure(f"{role} MS-SSIM ({quality.ms_ssim_scales} scales)")] = quality.ms_ssim
    if trial.samples is not None and features is not None:
        for role, samples in trial.samples.quality.items():
            figures |= _of_samples(samples, f"of samples, against {role}", features)
        if trial.samples.floor is not None:
            figures |= _of_samples(trial.samples.floor, "of test images, against train", features)
        memorisation = trial.samples.memorisation
        if memorisation is not None:
            figures[Figure("distance of samples to train")] = memorisation.samples_to_train
            figures[Figure("distance of test images to train")] = memorisation.test_to_train
            figures[Figure("distance of reconstructed test images to train")] = memorisation.reconstructions_to_train
            figures[Figure("suspiciously near samples", "%", ".1f")] = 100 * memorisation.suspicious
    return figures | _of_latents(trial)


def _of_samples(samples: SampleQuality, words: str, features: FeatureNetwork) -> dict[Figure, float]:
    return {
        Figure(f"{features.frechet_name} {words}", form=".4g"): samples.frechet,
        Figure(f"{features.kernel_name} {words}", form=".4g"): samples.kernel,
        Figure(f"precision {words}", form=".3f"): samples.precision,
        Figure(f"recall {words}", form=".3f"): samples.recall,
        Figure(f"density {words}", form=".3f"): samples.density,
        Figure(f"coverage {words}", form=".3f"): samples.coverage,
    }


def _of_latents(trial: Trial) -> dict[Figure, float]:
    figures: dict[Figure, float] = {}
    for role, reading in trial.readings.items():
        if reading.latents is not None:
            figures[Figure(f"{role} active latents", form=".5g")] = reading.latents.active
            figures[Figure(f"{role} KL", "nats", ".1f")] = float(reading.latents.kl.sum())
        for level, use in enumerate(reading.codebooks, start=1):
            where = f", level {level}" if len(reading.codebooks) > 1 else ""
            figures[Figure(f"{role} codebook usage{where}", "%", ".1f")] = 100 * use.usage
            figures[Figure(f"{role} perplexity{where}", form=".1f")] = use.perplexity
    return figures
