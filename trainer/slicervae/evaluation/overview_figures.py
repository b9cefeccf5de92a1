"""The figures that hold models against each other."""

from collections.abc import Callable, Mapping, Sequence

import torch

from SlicerVAELib.core.networks import build

from .album import Album
from .averages import Average, average
from .candidates import Model
from .columns import Column
from .figures import comparison, curves, reconstructions
from .trial import Trial

Judged = Mapping[Model, Sequence[Trial]]


def draw_overview(
    judged: Judged,
    columns: Sequence[Column],
    originals: torch.Tensor | None,
    reconstructed: Mapping[str, torch.Tensor],
) -> Album:
    """The panel of all models, their learning curves, and their errors; ``originals`` (n, H, W) and the reconstructions
    of each model by its title are those of the columns."""
    album = Album("All models")
    if len(judged) > 1:
        _panel(album, columns, originals, reconstructed)
        _against(album, judged, "latent size", "latent-size", _latent_size)
        _against(album, judged, "prior variance", "prior-variance", _prior_variance)
    _train_test(album, judged)
    _curves(album, judged)
    return album


def _panel(
    album: Album,
    columns: Sequence[Column],
    originals: torch.Tensor | None,
    reconstructed: Mapping[str, torch.Tensor],
) -> None:
    if originals is None or len(reconstructed) < 2:
        album.omit("The models do not see the same images, so there is no panel of them all.")
        return
    figure = reconstructions.draw(originals, reconstructed, [column.title for column in columns])
    album.add("panel", figure, "The same images as every model reconstructs them.")


def _against(album: Album, judged: Judged, words: str, name: str, quantity: Callable[[Model], float | None]) -> None:
    points = [
        comparison.Point(model.title, model.manifest.recipe, value, error)
        for model, trials in judged.items()
        if (value := quantity(model)) is not None and (error := _error(trials, "test")) is not None
    ]
    if len({point.value for point in points}) < 2:
        album.omit(f"No two models with test images differ in {words}, so the error is not drawn against it.")
        return
    caption = f"Mean squared error of test images against {words}; bars are one standard deviation over trials."
    album.add(f"error-against-{name}", comparison.draw_against(points, words), caption)


def _train_test(album: Album, judged: Judged) -> None:
    rows = []
    for model, trials in judged.items():
        train, test = _error(trials, "train"), _error(trials, "test")
        if train is not None and test is not None:
            rows.append((model.title, train, test))
    if not rows:
        album.omit("No model has both training images (--run or --train) and test images to compare its errors on.")
        return
    figure = comparison.draw_train_test(rows)
    album.add("train-and-test", figure, "Mean squared error of training and of test images.")


def _curves(album: Album, judged: Judged) -> None:
    runs = {
        model.title: [trial.candidate.run.rows for trial in trials if trial.candidate.run is not None]
        for model, trials in judged.items()
    }
    runs = {title: rows for title, rows in runs.items() if rows}
    if not runs:
        album.omit("Learning curves take --run.")
        return
    caption = "Learning curves: validation (solid) and training (dashed)"
    band = ", with one standard deviation over trials" if any(len(rows) > 1 for rows in runs.values()) else ""
    album.add("learning-curves", curves.draw(runs), f"{caption}{band}.")


def _error(trials: Sequence[Trial], role: str) -> Average | None:
    errors = [reading.quality.mse for trial in trials for its, reading in trial.readings.items() if its == role]
    return average(errors) if errors else None


def _latent_size(model: Model) -> float | None:
    """Numbers a latent consists of; None for codes, which are counted in bits."""
    latent = build(model.manifest.network.family, model.manifest.network.settings).latent
    return None if latent.kind == "codes" else float(latent.size)


def _prior_variance(model: Model) -> float | None:
    value = model.manifest.network.settings.get("prior_variance")
    return None if value is None else float(value)
