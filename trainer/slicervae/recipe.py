"""Recipes: what to train, as short YAML files that read like the line of a table."""

import dataclasses
import importlib.resources
import re
from collections.abc import Iterable
from typing import Any, Literal

import yaml

from SlicerVAELib.core.errors import UserError, nearest
from SlicerVAELib.core.manifest import NetworkDescription
from SlicerVAELib.core.networks import families
from SlicerVAELib.core.planes import Plane
from SlicerVAELib.core.records import from_data, to_data

from .objectives import ObjectiveSettings


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-4 is a number, as in YAML 1.2 and everywhere else."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)

AUTO: Literal["auto"] = "auto"
NAMED_BY_THE_USER = ("data", "channels")  # a mapping whose keys are no settings


@dataclasses.dataclass(frozen=True)
class PreprocessingSettings:
    """How volumes become slices or cubes; "auto" is decided from the network, and from the modality and sizes of the
    training volumes.

    ``intensity`` is "hounsfield" (``lower``…``upper`` HU) or "foreground-percentiles". The slices lie in ``plane``;
    ``depth`` "cube" interpolates each volume across it to as many slices as they have rows. ``body_only``
    clears the couch and whatever else lies outside of the patient.
    """

    intensity: Literal["auto", "hounsfield", "foreground-percentiles"] = AUTO
    lower: float | Literal["auto"] = AUTO
    upper: float | Literal["auto"] = AUTO
    spacing_mm: float | Literal["auto"] = AUTO
    centre: Literal["auto", "grid", "foreground"] = AUTO
    slice_step_mm: float | Literal["auto"] = AUTO
    depth: Literal["auto", "slices", "cube"] = AUTO
    plane: Plane = "axial"
    body_only: bool = False


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How it is trained.

    ``batch_size`` images make one step, whatever number of processes share them; each process takes its share in
    ``accumulate`` parts, one after the other, where memory is short. ``validation_share`` is the share of patients kept
    aside to choose the best weights; training ends early when these have not improved for ``patience`` epochs (0:
    never). ``clip_norm`` bounds the gradient's norm (0: not at all). ``weight_average`` is the factor of an exponential
    moving average of the weights, which is then what is validated and exported (0: none). ``augment_by_prior``
    images drawn from the approximate prior join the training images and are renewed every ``augment_by_prior_epochs``
    epochs (source 002, algorithm 2, with 10 images and 100 epochs).
    """

    epochs: int = dataclasses.field(default=100, metadata={"min": 1, "max": 1_000_000})
    batch_size: int = dataclasses.field(default=32, metadata={"min": 2, "max": 65_536})
    learning_rate: float = dataclasses.field(default=1e-3, metadata={"min": 1e-9, "max": 10.0})
    schedule: Literal["constant", "cosine"] = "cosine"
    validation_share: float = dataclasses.field(default=0.15, metadata={"min": 0.0, "max": 0.9})
    patience: int = dataclasses.field(default=0, metadata={"min": 0, "max": 1_000_000})
    accumulate: int = dataclasses.field(default=1, metadata={"min": 1, "max": 4096})
    clip_norm: float = dataclasses.field(default=0.0, metadata={"min": 0.0, "max": 1e9})
    weight_average: float = dataclasses.field(default=0.0, metadata={"min": 0.0, "max": 0.999999})
    augment_by_prior: int = dataclasses.field(default=0, metadata={"min": 0, "max": 100_000})
    augment_by_prior_epochs: int = dataclasses.field(default=100, metadata={"min": 1, "max": 1_000_000})


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Which volumes of the data folder take part: glob patterns on the path below it or on the series description, and
    the patients to keep apart for a test.

    ``channels`` names the co-registered images of a study and the pattern that finds each, the main one first; those
    on other grids are resampled to its. ``structures`` are the ROIs that become channels, found by these names or by
    others that mean the same after AAPM TG-263; ``structure_names`` is a text file, its path seen from the data folder,
    with a site's own names ("standard name: synonym, synonym" in each line). ``leave_out`` are patterns for structures
    or files of masks whose voxels the loss does not count.
    """

    include: list[str] = dataclasses.field(default_factory=list)
    exclude: list[str] = dataclasses.field(default_factory=list)
    exclude_patients: list[str] = dataclasses.field(default_factory=list)
    channels: dict[str, str] = dataclasses.field(default_factory=dict)
    structures: list[str] = dataclasses.field(default_factory=list)
    structure_names: str = ""
    leave_out: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        for name, pattern in self.channels.items():
            if not name or not pattern:
                raise ValueError(
                    f"channels need a name and a pattern each, such as T1: '*T1*', not {name}: '{pattern}'"
                )
        if len(set(self.structures)) < len(self.structures):
            raise ValueError(f"structures names one twice: {', '.join(self.structures)}")


@dataclasses.dataclass(frozen=True)
class AugmentationSettings:
    """The most that a training image is changed by at random, to either side; 0 leaves it as it is.

    ``shift_mm`` along each axis of the slice and ``rotation_degrees`` about its middle, the same for all channels and
    all slices of a cube; ``intensity_scale`` (0.1: 0.9 to 1.1 times) and ``intensity_offset`` (in 0…1) for each image
    channel apart.
    """

    shift_mm: float = dataclasses.field(default=0.0, metadata={"min": 0.0, "max": 1000.0})
    rotation_degrees: float = dataclasses.field(default=0.0, metadata={"min": 0.0, "max": 180.0})
    intensity_scale: float = dataclasses.field(default=0.0, metadata={"min": 0.0, "max": 0.9})
    intensity_offset: float = dataclasses.field(default=0.0, metadata={"min": 0.0, "max": 0.9})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run but the data and the seed."""

    name: str
    title: str
    source: str
    network: NetworkDescription
    objective: ObjectiveSettings
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    training: TrainingSettings = TrainingSettings()
    data: DataSettings = DataSettings()
    augmentation: AugmentationSettings = AugmentationSettings()

    def to_yaml(self) -> str:
        """The recipe as the text of a recipe file."""
        return yaml.safe_dump(to_data(self), sort_keys=False, allow_unicode=True)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = importlib.resources.files(__package__) / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(name: str, changes: Iterable[str] = ()) -> Recipe:
    """The recipe ``name`` with ``changes`` of the form "key=value" applied.

    A key is the dotted path of a setting ("training.batch_size") or its last part where that is unambiguous. Raises
    UserError for an unknown recipe or setting, with the nearest valid name, and for a value out of range.
    """
    if name not in recipe_names():
        raise UserError(f"There is no recipe '{name}'; {nearest(name, recipe_names())}")
    text = (importlib.resources.files(__package__) / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_recipe(text, f"the recipe {name}", changes)


def parse_recipe(text: str, where: str, changes: Iterable[str] = ()) -> Recipe:
    """The recipe in a YAML text, with changes as in ``load_recipe``. Raises UserError for what is not one."""
    try:
        data = to_data(_with_defaults(from_data(Recipe, yaml.load(text, _Loader), where), where))
    except yaml.YAMLError:
        raise UserError(f"{where} is not valid YAML; write it anew or take it from the package.") from None
    for change in changes:
        _apply(data, change)
    return _with_channels(from_data(Recipe, data, "the recipe with your settings"))


def _with_defaults(recipe: Recipe, where: str) -> Recipe:
    """The recipe with every setting of its network, so that each can be changed and is kept with the run."""
    network = recipe.network
    if network.family not in families:
        raise UserError(f"{where}, network: there is no family '{network.family}'; {nearest(network.family, families)}")
    settings = to_data(from_data(families[network.family].settings, network.settings, f"{where}, network"))
    return dataclasses.replace(recipe, network=dataclasses.replace(network, settings=settings))


def _with_channels(recipe: Recipe) -> Recipe:
    """The recipe with a network of as many channels as its data has, where these are named."""
    settings = dict(recipe.network.settings)
    if recipe.data.channels:
        settings["channels"] = len(recipe.data.channels)
    if recipe.data.structures and "structures" in settings:
        settings["structures"] = len(recipe.data.structures)
    return dataclasses.replace(recipe, network=dataclasses.replace(recipe.network, settings=settings))


def _apply(data: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    if not equals:
        raise UserError(f"The setting '{change}' has no value; write it as key=value.")
    paths = {".".join(path): path for path in _leaves(data)}
    chosen = [path for dotted, path in paths.items() if dotted == key or path[-1] == key]
    if len(chosen) > 1:
        raise UserError(f"The setting '{key}' could be {' or '.join('.'.join(path) for path in chosen)}; name one.")
    if not chosen:
        names = {**paths, **{path[-1]: path for path in paths.values()}}
        raise UserError(f"There is no setting '{key}'; {nearest(key, names)}")
    *parents, last = chosen[0]
    place = data
    for parent in parents:
        place = place[parent]
    try:
        parsed = yaml.load(value, _Loader)
    except yaml.YAMLError:
        parsed = value  # a pattern such as *FLAIR* is no YAML but needs no quotes either
    if isinstance(place[last], list) and not isinstance(parsed, list):
        parsed = [parsed]
    elif isinstance(place[last], dict) and isinstance(parsed, str):  # T1=*T1*,T2=*T2* wants no quotes in a shell
        parts = (item.partition("=") for item in parsed.split(","))
        parsed = {name.strip(): pattern.strip() for name, _, pattern in parts}
    place[last] = parsed


def _leaves(data: dict[str, Any], prefix: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    for key, value in data.items():
        if isinstance(value, dict) and (*prefix, key) != NAMED_BY_THE_USER:
            yield from _leaves(value, (*prefix, key))
        else:
            yield (*prefix, key)
