"""Bundles judged on a folder of volumes, from files to figures."""

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.core.placement import Placement, choose_device
from SlicerVAELib.core.preprocessing import Preprocessing
from SlicerVAELib.core.progress import Cancel, Listener, part_of

from ..data.cache import Cache
from .album import Album
from .candidates import Candidate, Model, candidates_of, models_of
from .cohort import Held, Selection, hold
from .columns import Column, columns_of, images_at
from .features import EffLite0, FeatureNetwork, Inception
from .figures.decoding import reconstructed
from .model_figures import Sitting, draw_model
from .overview_figures import draw_overview
from .reading import middle_pictures
from .samples import Draws
from .subjects import Gathered, Subject, subject_of
from .trial import Judge, Trial


@dataclasses.dataclass(frozen=True)
class Question:
    """What is to be judged on what.

    ``runs`` are those of the bundles, ``train`` is the folder that bundles without a run were trained on, ``labels``
    are those of patients. ``inception`` are the weights that FID takes; ``cache`` is where runs keep their prepared
    images, None this user's own.
    """

    bundles: tuple[Path, ...]
    data: Path
    selection: Selection = dataclasses.field(default_factory=Selection)
    runs: tuple[Path, ...] = ()
    train: Path | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    inception: Path | None = None
    draws: Draws = dataclasses.field(default_factory=Draws)
    cache: Path | None = None
    hardware: Hardware = dataclasses.field(default_factory=Hardware)


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What came out: the trials of each model, figures of all models and of each, and sentences for the person."""

    judged: Mapping[Model, Sequence[Trial]]
    features: FeatureNetwork | None
    overview: Album
    albums: tuple[Album, ...]
    notices: tuple[str, ...]


def evaluate(question: Question, listener: Listener, cancel: Cancel) -> Answer:
    """Judge bundles. Raises UserError for whatever a person can mend, and Cancelled."""
    candidates = candidates_of(question.bundles, question.runs)
    features = _features(question)
    with _gathered(question, candidates, part_of(listener, 0.0, 0.15), cancel) as gathered:
        evaluation = _Evaluation(question, gathered, features, models_of(candidates))
        return evaluation.answer(part_of(listener, 0.15, 1.0), cancel)


@contextmanager
def _gathered(
    question: Question, candidates: Sequence[Candidate], listener: Listener, cancel: Cancel
) -> Iterator[Gathered]:
    """Volumes prepared in a folder that is gone afterwards: what is looked at once is not kept with the user's."""
    kinds = list(dict.fromkeys(candidate.manifest.preprocessing for candidate in candidates))
    folders = [question.data, *([question.train] if question.train is not None else [])]
    with tempfile.TemporaryDirectory(prefix="slicervae-", ignore_cleanup_errors=True) as scratch:
        held: list[dict[Preprocessing, Held]] = []
        for number, folder in enumerate(folders):
            # Patterns for the data folder mean nothing in the other one.
            selection = question.selection if number == 0 else Selection(channels=question.selection.channels)
            held.append({})
            for kind in kinds:
                models = [candidate.manifest for candidate in candidates if candidate.manifest.preprocessing == kind]
                share = 1 / (len(kinds) * len(folders))
                start = share * (number * len(kinds) + len(held[number]))
                telling = part_of(listener, start, start + share)
                held[number][kind] = hold(folder, selection, kind, models, Cache(Path(scratch)), telling, cancel)
        yield Gathered(held[0], held[1] if len(held) > 1 else {})


class _Evaluation:
    """Judges and draws models one after another; no more than one network is in memory, and one in the engine."""

    def __init__(
        self, question: Question, gathered: Gathered, features: FeatureNetwork | None, models: Sequence[Model]
    ) -> None:
        self._question, self._gathered, self._features, self._models = question, gathered, features, models
        self._candidates = [candidate for model in models for candidate in model.trials]
        self._notices = dict.fromkeys(gathered.notices)
        self._albums: list[Album] = []
        self._panel: dict[str, torch.Tensor] = {}
        self._originals: torch.Tensor | None = None

    def answer(self, listener: Listener, cancel: Cancel) -> Answer:
        subjects = self._subjects(part_of(listener, 0.0, 0.1), cancel)
        columns = self._columns(subjects)
        engine = LocalEngine()
        judge = Judge(engine, self._features, self._question.draws, self._question.hardware)
        judged: dict[Model, list[Trial]] = {model: [] for model in self._models}
        share = 0.9 / len(self._candidates)
        for model in self._models:
            for candidate in model.trials:
                start = 0.1 + share * sum(map(len, judged.values()))
                telling = part_of(listener, start, start + share)
                network = load_network(candidate.bundle, candidate.manifest)
                placement = Placement.of(network, self._question.hardware)
                trial = judge.judge(candidate, placement, subjects[candidate], telling, cancel)
                if not judged[model]:
                    self._draw(model, trial, placement, subjects[candidate], columns, cancel)
                judged[model].append(trial)
                self._notices |= dict.fromkeys(placement.notices)
        engine.close()
        overview = draw_overview(judged, columns, self._originals, self._panel)
        return Answer(judged, self._features, overview, tuple(self._albums), tuple(self._notices))

    def _subjects(self, listener: Listener, cancel: Cancel) -> dict[Candidate, Subject]:
        subjects = {}
        share = 1 / len(self._candidates)
        for number, candidate in enumerate(self._candidates):
            telling = part_of(listener, number * share, (number + 1) * share)
            subject = subject_of(candidate, self._gathered, Cache(self._question.cache), telling, cancel)
            self._notices |= dict.fromkeys(subject.notices)
            subjects[candidate] = subject
        return subjects

    def _columns(self, subjects: Mapping[Candidate, Subject]) -> list[Column]:
        """Images of volumes that no model has seen, where there are any."""
        held = next(iter(self._gathered.data.values())).volumes
        tests = [{volume.path for volume in subject.volumes.get("test", ())} for subject in subjects.values()]
        unseen = [volume for volume in held if all(volume.path in paths for paths in tests)]
        return columns_of(unseen or held, self._question.labels)

    def _draw(
        self,
        model: Model,
        trial: Trial,
        placement: Placement,
        subject: Subject,
        columns: Sequence[Column],
        cancel: Cancel,
    ) -> None:
        held = self._gathered.data[model.manifest.preprocessing].volumes
        images = images_at(columns, held)
        if images is not None:
            self._panel[model.title] = reconstructed(placement, images, cancel)
            self._originals = middle_pictures(images) if self._originals is None else self._originals
        else:  # other files than those of the first model, whose channel has another name
            columns = columns_of(held, self._question.labels)
            images = images_at(columns, held)
            assert images is not None, "the columns are of these very volumes"
        sitting = Sitting(model.title, trial, placement, subject, columns, images, self._question.draws)
        self._albums.append(draw_model(sitting, cancel))


def _features(question: Question) -> FeatureNetwork | None:
    if question.draws.count == 0:
        return None
    device = choose_device(question.hardware.device)
    return EffLite0(device) if question.inception is None else Inception(question.inception, device)
