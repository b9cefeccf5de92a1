"""A training run on disk: recipe.yaml, run.json, checkpoint.pt and metrics.csv, each replaced whole or not at all."""

import csv
import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any

import torch

from SlicerVAELib.core.acquisition import UNKNOWN_TRAINING, TrainingAcquisition
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.preprocessing import Preprocessing
from SlicerVAELib.core.records import from_data
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.write import write_bytes_atomically, write_json_atomically

from ..recipe import Recipe, parse_recipe


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What run.json holds: where the run came from and what was decided before its first step.

    ``precision`` is that of the network's arithmetic, ``contents`` a SHA-256 of the files of every study, by its name;
    ``left_out`` are the studies that lack something, and ``notices`` what a person should know of the data.
    ``started_from`` is the folder of the run whose weights were the first ones, empty for random ones.
    """

    data: str
    seed: int
    software: str
    modality: Modality
    body_part: str
    slice_step_mm: tuple[float, float]
    preprocessing: Preprocessing
    training_patients: list[str]
    validation_patients: list[str]
    acquisition: TrainingAcquisition = UNKNOWN_TRAINING
    precision: str = "float32"
    contents: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: list[str] = dataclasses.field(default_factory=list)
    notices: list[str] = dataclasses.field(default_factory=list)
    started_from: str = ""


@dataclasses.dataclass
class TrainingState:
    """All that training needs to go on as if it had never stopped.

    Noise and order are drawn anew from the seed and the step or epoch, so no random state has to be kept. ``position``
    counts the steps done of epoch ``epoch``, ``sums`` are the log's of that unfinished epoch, ``seconds`` where the
    time went. ``trained`` is what the weights belong to: the recipe's name, network and objective.
    """

    trained: dict[str, Any] = dataclasses.field(default_factory=dict)

    objective: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    optimizers: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    precision: dict[str, Any] = dataclasses.field(default_factory=dict)
    epoch: int = 0
    position: int = 0
    step: int = 0
    steps_in_epoch: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    best_noise_variance: float = 1.0
    best_network: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    average: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    prior_images: torch.Tensor | None = None
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    rows: list[dict[str, float]] = dataclasses.field(default_factory=list)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    finished: bool = False

    @property
    def network(self) -> dict[str, torch.Tensor]:
        """The network's weights."""
        prefix = "network."
        return {name[len(prefix) :]: value for name, value in self.objective.items() if name.startswith(prefix)}


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / "run.json").is_file()

    def check_free(self) -> None:
        """Raise UserError when no run can begin here; nothing is written."""
        if self.exists:
            raise UserError(f"{self.path} holds a run already; go on with it with --resume, or choose another --out.")
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UserError(f"{self.path} is not empty; choose another --out, or go on with that run with --resume.")
        nearest = next(parent for parent in (self.path, *self.path.absolute().parents) if parent.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise UserError(f"{self.path} can't be made, because {nearest} can't be written; choose another --out.")

    def create(self, recipe: Recipe, record: RunRecord) -> None:
        """Begin a run. Raises UserError when the folder is taken or can't be written."""
        self.check_free()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path} can't be made ({error.strerror}); choose another --out.") from None
        self.keep_recipe(recipe)
        write_json_atomically(self.path / "run.json", record)

    def keep_recipe(self, recipe: Recipe) -> None:
        """Write recipe.yaml."""
        write_bytes_atomically(self.path / "recipe.yaml", recipe.to_yaml().encode())

    def recipe(self) -> Recipe:
        """The recipe of the run."""
        path = self.path / "recipe.yaml"
        return parse_recipe(self._text(path), str(path))

    def record(self) -> RunRecord:
        """What was decided at its start."""
        path = self.path / "run.json"
        try:
            return from_data(RunRecord, json.loads(self._text(path)), str(path))
        except ValueError:
            raise UserError(f"{path} is damaged; train anew with another --out.") from None

    def save(self, state: TrainingState) -> None:
        """Replace metrics.csv, timing.json and the checkpoint."""
        write_json_atomically(self.path / "timing.json", {"seconds": state.seconds, "steps": state.step})
        if state.rows:
            table = io.StringIO()
            # Some terms have no value until a warm-up is over.
            names = dict.fromkeys(name for row in state.rows for name in row)
            writer = csv.DictWriter(table, fieldnames=list(names), lineterminator="\n")
            writer.writeheader()
            writer.writerows(state.rows)
            write_bytes_atomically(self.path / "metrics.csv", table.getvalue().encode())
        # Last, because a finished checkpoint is not touched again.
        buffer = io.BytesIO()
        torch.save(dataclasses.asdict(state), buffer)
        write_bytes_atomically(self.path / "checkpoint.pt", buffer.getvalue())

    def load(self) -> TrainingState | None:
        """The last checkpoint, or None before the first. Raises UserError for a damaged one."""
        path = self.path / "checkpoint.pt"
        if not path.is_file():
            return None
        try:
            # weights_only: a checkpoint is data; a pickled object in it is refused, not run.
            return TrainingState(**torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # noqa: BLE001 - torch raises a dozen kinds for one cause
            raise UserError(f"{path} is damaged ({type(error).__name__}); train anew with another --out.") from None

    def check_is_run(self) -> None:
        """Raise UserError when no run was begun here."""
        if not self.exists:
            raise UserError(f"{self.path} is not a run of 'slicervae fit'; check the path.")

    def with_best_weights(self) -> TrainingState:
        """The last checkpoint. Raises UserError for what is no run, and for one without a finished epoch."""
        self.check_is_run()
        state = self.load()
        if state is None or not state.best_network:
            raise UserError(f"{self.path} has no finished epoch yet; let it train on with 'slicervae fit … --resume'.")
        return state

    def _text(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise UserError(f"{path} can't be read; is {self.path} a run of 'slicervae fit'?") from None
