"""Whether a whole image is unlike those that a model was trained on, which shows only once the model has seen it."""

import torch

from .manifest import Manifest

SELDOM = 0.01  # share of the validation slices whose score lies above the manifest's


def shows_something(images: torch.Tensor) -> torch.Tensor:
    """Which slices of (N, C, H, W) are not constant, (N,): empty ones look typical of everything."""
    values = images.flatten(1)
    return values.amax(dim=1) > values.amin(dim=1)


def seldom_exceeded(scores: torch.Tensor) -> float:
    """The score, of those (N,) of slices like the training's, that one in a hundred exceeds."""
    return float(scores.double().quantile(1 - SELDOM))


def doubts_about(scores: torch.Tensor, images: torch.Tensor, manifest: Manifest) -> tuple[str, ...]:
    """A sentence where the median slice of an image is beyond what one validation slice in a hundred exceeds.

    ``scores`` (N,) are those of ``core.anomaly.slice_scores``. The median, because a lesion makes some slices unusual
    and a foreign protocol, region or artefact all of them.
    """
    scores = scores[shows_something(images)]
    if manifest.unusual_score is None or not len(scores) or float(scores.median()) <= manifest.unusual_score:
        return ()
    return (
        f"Most slices look less like the training images of {manifest.title} than {100 * (1 - SELDOM):.0f} % of its "
        "validation slices do (by their evidence lower bound); another region, protocol or artefacts can be why, and "
        "then the maps mean little.",
    )
