"""What a person is told of synthetic slices: how they were drawn, and what is doubtful about them."""

from .engine import SynthesizeRequest
from .manifest import Manifest
from .synthesis import Prior


def parameters_of_draws(prior: Prior, request: SynthesizeRequest) -> dict[str, str]:
    """How slices were drawn, for the provenance."""
    parameters = {"seed": str(request.seed), "prior": prior.in_words}
    if prior.takes_temperature:
        parameters["temperature"] = f"{request.temperature:g}"
    if request.path is not None:
        parameters["path"] = f"{request.path.shape}, {request.path.steps} steps between {request.count} draws"
    return parameters


def notices_of_draws(prior: Prior, request: SynthesizeRequest, manifest: Manifest) -> list[str]:
    """Sentences for the person."""
    notices = []
    if request.prior == "auto" and not prior.takes_temperature:
        notices.append(
            f"{manifest.title} has no prior that knows which codes go together, so its slices are noise; "
            "'slicervae fit-prior' learns one."
        )
    if request.temperature != 1 and not prior.takes_temperature:
        notices.append("Uniform codes have no temperature; it had no effect.")
    return [*notices, *notices_of_pictures(manifest)]


def notices_of_pictures(manifest: Manifest) -> list[str]:
    """Sentences for the person about what a model's decoded pictures are."""
    notices = []
    if manifest.preprocessing.dimensions == 3:
        depth = manifest.preprocessing.size
        notices.append(f"{manifest.title} makes cubes of {depth} slices, which are given one after another.")
    if manifest.preprocessing.image_channels > 1:
        shown = manifest.preprocessing.channels[0]
        notices.append(f"{manifest.title} makes several images of each slice; given is '{shown}', the first.")
    return notices
