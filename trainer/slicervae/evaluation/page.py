"""An evaluation as metrics.json and as a self-contained page."""

from collections.abc import Sequence
from typing import Any

from SlicerVAELib.core.networks import build
from SlicerVAELib.core.records import to_data

from ..report import Report
from ..table import Table
from .album import Album
from .averages import Average, Figure, averages_of, figures_of
from .candidates import Model
from .evaluate import Answer, Question
from .trial import Trial

MOST_ROWS = 60  # of volumes that are listed in the page
_HEADER_OF_VOLUMES = ("model", "patient", "role", "slices", "MSE", "PSNR (dB)", "MS-SSIM")
_STYLE = "<style>figure img{max-height:760px}</style>"


def to_json(question: Question, answer: Answer) -> dict[str, Any]:
    """What metrics.json holds."""
    return {
        "data": str(question.data),
        "samples": to_data(question.draws),
        "models": [_model(model, trials, answer) for model, trials in answer.judged.items()],
        "volumes": [row for trials in answer.judged.values() for trial in trials for row in _volumes(trial)],
        "notices": list(answer.notices),
    }


def to_page(question: Question, answer: Answer) -> str:
    """The report, with all figures in it."""
    titles = ", ".join(model.title for model in answer.judged)
    page = _Page("How good the models are", f"{titles} on {question.data}")
    page.paragraph(
        "This page names patients as the files do and shows their images: keep it where patient data may be kept. "
        "Research and decision support; figures on few patients are a report, not a proof.",
        note=True,
    )
    for notice in answer.notices[:MOST_ROWS]:
        page.paragraph(notice, note=True)
    page.heading("Figures")
    page.matrix(_summary(answer))
    page.heading("Volumes")
    rows = [row for trials in answer.judged.values() for trial in trials for row in _rows_of_volumes(trial)]
    page.matrix(Table(_HEADER_OF_VOLUMES, rows[:MOST_ROWS]))
    if len(rows) > MOST_ROWS:
        page.paragraph(f"… and {len(rows) - MOST_ROWS} more, all in metrics.json.")
    for album in (answer.overview, *answer.albums):
        page.album(album)
    return page.html()


class _Page(Report):
    """A report with albums."""

    def __init__(self, title: str, subtitle: str) -> None:
        super().__init__(title, subtitle)
        self._parts.insert(0, _STYLE)

    def album(self, album: Album) -> None:
        """A section of figures, and what is left out."""
        if not (album.plates or album.omissions):
            return
        self.heading(album.title)
        for plate in album.plates:
            self.picture(plate.png, plate.caption)
        for sentence in album.omissions:
            self.paragraph(sentence)


def _summary(answer: Answer) -> Table:
    """A column for each model, a row for each fact and figure."""
    averages = [averages_of(trials, answer.features) for trials in answer.judged.values()]
    figures: dict[Figure, None] = {}
    for of_model in averages:
        figures |= dict.fromkeys(of_model)
    facts = [
        ["latent", *(_latent(model) for model in answer.judged)],
        ["size in pixels", *(str(model.manifest.preprocessing.size) for model in answer.judged)],
        ["trials", *(str(len(trials)) for trials in answer.judged.values())],
    ]
    rows = [
        [figure.name, *(of_model[figure].in_words(figure) if figure in of_model else "" for of_model in averages)]
        for figure in figures
    ]
    return Table(["", *(model.title for model in answer.judged)], [*facts, *rows])


def _latent(model: Model) -> str:
    network = model.manifest.network
    return build(network.family, network.settings).latent.in_words


def _model(model: Model, trials: Sequence[Trial], answer: Answer) -> dict[str, Any]:
    averages = averages_of(trials, answer.features)
    return {
        "title": model.title,
        "recipe": model.manifest.recipe,
        "averages": {figure.name: _average(figure, value) for figure, value in averages.items()},
        "trials": [_trial(trial, answer) for trial in trials],
    }


def _average(figure: Figure, value: Average) -> dict[str, Any]:
    return {**to_data(value), **({"unit": figure.unit} if figure.unit else {})}


def _trial(trial: Trial, answer: Answer) -> dict[str, Any]:
    manifest, run = trial.candidate.manifest, trial.candidate.run
    figures = figures_of(trial, answer.features)
    data: dict[str, Any] = {
        "bundle": manifest.title,
        "bundle_sha256": manifest.checksum,
        "run": None if run is None else str(run.path),
        "figures": {figure.name: value for figure, value in figures.items()},
        "kl_per_latent": {
            role: [round(value, 6) for value in reading.latents.kl.tolist()]
            for role, reading in trial.readings.items()
            if reading.latents is not None
        },
    }
    if trial.samples is not None:
        data["prior"] = trial.samples.drawn.prior
        data["sample_quality"] = to_data(dict(trial.samples.quality))
        data["floor"] = to_data(trial.samples.floor)
        data["memorisation"] = to_data(trial.samples.memorisation)
    return data


def _volumes(trial: Trial) -> list[dict[str, Any]]:
    bundle = trial.candidate.manifest.title
    return [
        {"bundle": bundle, "patient": row.patient, "path": row.path, "role": row.role, **to_data(row.quality)}
        for row in trial.volumes
    ]


def _rows_of_volumes(trial: Trial) -> list[list[str]]:
    return [
        [
            trial.candidate.manifest.title,
            row.patient,
            row.role,
            f"{row.quality.slices:,}",
            f"{row.quality.mse:.5f}",
            f"{row.quality.psnr:.2f}",
            f"{row.quality.ms_ssim:.4f}",
        ]
        for row in trial.volumes
    ]
