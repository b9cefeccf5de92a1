"""From a run to a bundle: best weights, what the model is for, its figures, a card and a picture."""

import datetime
import io
from pathlib import Path

import torch

from SlicerVAELib.core.bundle import write_bundle
from SlicerVAELib.core.declaration import Declaration
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import SOFTWARE
from SlicerVAELib.core.manifest import FORMAT, FORMAT_VERSION, Manifest
from SlicerVAELib.core.networks import Network, build
from SlicerVAELib.core.preprocessing import HounsfieldWindow
from SlicerVAELib.core.progress import Cancel, ignore
from SlicerVAELib.core.synthesis import draw_latents
from SlicerVAELib.core.typicality import seldom_exceeded

from .data.cache import Cache
from .data.preparation import validation_images_of
from .evaluation.quality import Quality, quality_of, slice_scores_of
from .recipe import Recipe
from .training.run_folder import RunFolder, RunRecord

INTENDED_USE = (
    "Research and decision support. Not a diagnosis, not a cleared medical device; nothing found does not mean normal."
)
PREVIEW_ROWS, PREVIEW_COLUMNS = 2, 6


def export(
    run: Path,
    out: Path,
    *,
    name: str = "",
    version: str = "1.0.0",
    is_demonstration: bool = False,
    cache: Path | None = None,
    stored_as: torch.dtype = torch.float32,
) -> Manifest:
    """Write the best weights of a run as the bundle ``out`` and return its manifest.

    The figures in it are those on the validation patients, or on the training patients, and named so, when none were
    kept aside; ``cache`` is the folder of prepared images, None this user's own; ``stored_as`` is as in
    ``core.bundle.write_bundle``. Raises UserError for a run without a finished epoch.
    """
    folder = RunFolder(run)
    folder.check_is_run()
    if out.exists():
        raise UserError(f"{out} exists already; choose another --out or remove it first.")
    recipe, record, state = folder.recipe(), folder.record(), folder.with_best_weights()
    network = build(recipe.network.family, recipe.network.settings)
    network.load_state_dict(state.best_network)
    network.eval().requires_grad_(False)
    judged_on = "validation" if record.validation_patients else "training"
    images = validation_images_of(recipe, record, Cache(cache), ignore, Cancel())
    figures, noise_variance = quality_of(network, images), max(state.best_noise_variance, 1e-9)
    declaration = Declaration(
        modality=record.modality,
        body_part=record.body_part,
        field_of_view_mm=record.preprocessing.field_of_view_mm,
        slice_step_mm=record.slice_step_mm,
        training_patients=len(record.training_patients),
        intended_use=INTENDED_USE,
        structures=record.preprocessing.structures,
        plane=record.preprocessing.plane,
        is_demonstration=is_demonstration,
        acquisition=record.acquisition,
    )
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        name=name or out.name,
        version=version,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        software=SOFTWARE,
        recipe=recipe.name,
        network=recipe.network,
        preprocessing=record.preprocessing,
        declaration=declaration,
        noise_variance=noise_variance,
        unusual_score=seldom_exceeded(slice_scores_of(network, images, noise_variance)),
        quality={f"{judged_on} mse": figures.mse, f"{judged_on} ms-ssim": figures.ms_ssim},
    )
    card = _card(manifest, recipe, record, figures, judged_on)
    return write_bundle(out, manifest, network, card=card, preview=_preview(network), stored_as=stored_as)


def _preview(network: Network) -> bytes:
    """PNG of samples of the prior, or of a sentence where there is none.

    A bundle is handed on, so it must not show a patient's slice; nor may anything that is no sample pass for one.
    """
    from matplotlib import image

    if network.latent.kind == "point":
        return _picture_of_words("A plain autoencoder has no prior;\nthere are no synthetic slices to show.")
    with torch.inference_mode():
        # One by one: a dozen cubes at once would take gigabytes.
        latents = draw_latents(network, PREVIEW_ROWS * PREVIEW_COLUMNS, seed=0)
        samples = [_middle_slice(network.decode(each)[0, 0]) for each in latents.split(1)]
    rows = [torch.cat(samples[n : n + PREVIEW_COLUMNS], dim=1) for n in range(0, len(samples), PREVIEW_COLUMNS)]
    buffer = io.BytesIO()
    image.imsave(buffer, torch.cat(rows).numpy(), cmap="gray", vmin=0, vmax=1, format="png")
    return buffer.getvalue()


def _middle_slice(pixels: torch.Tensor) -> torch.Tensor:
    return pixels[len(pixels) // 2] if pixels.ndim == 3 else pixels


def _picture_of_words(words: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0, 1.5))
    figure.text(0.5, 0.5, words, ha="center", va="center")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _card(manifest: Manifest, recipe: Recipe, record: RunRecord, figures: Quality, judged_on: str) -> str:
    intensity = manifest.preprocessing.intensity
    window = (
        f"{intensity.lower:g} to {intensity.upper:g} HU"
        if isinstance(intensity, HounsfieldWindow)
        else f"percentiles {intensity.lower:g} (of all) to {intensity.upper:g} (of the foreground)"
    )
    step = "–".join(f"{value:.1f}" for value in dict.fromkeys(record.slice_step_mm))
    made_for = " ".join(word for word in (str(record.modality), record.body_part) if word)
    patients = record.validation_patients or record.training_patients
    return f"""# {manifest.title}

{recipe.title} (recipe `{recipe.name}`, source {recipe.source}), written by {manifest.software} on {manifest.created}.

- **Images it was made for:** {made_for}, slices every {step} mm
- **Field of view:** {manifest.declaration.field_of_view_mm:.0f} mm in {manifest.preprocessing.size} pixels
- **Intensities:** {window}
- **Trained on:** {len(record.training_patients)} patients, seed {record.seed}
- **Figures on {judged_on} patients ({len(patients)}):** mean squared error {figures.mse:.5f}, MS-SSIM
  {figures.ms_ssim:.3f} ({figures.ms_ssim_scales} scales), over {figures.slices} slices, intensities in 0…1
- **Intended use:** {manifest.declaration.intended_use}

preview.png shows synthetic slices where the model has a prior to draw them from; no patient is shown.
"""
