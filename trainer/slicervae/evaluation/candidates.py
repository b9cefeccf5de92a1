"""The models to judge: bundles, the runs that they were exported from, and trials of one model together."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import Manifest, read_manifest
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.core.records import to_data

from ..data.cohort import find
from ..recipe import Recipe
from ..training.run_folder import RunFolder, RunRecord
from .cohort import Role, Seen, main_content

FROM_PATIENTS = ("spacing_mm", "slice_step_mm")  # settings of the preprocessing


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run as ``slicervae fit`` left it; ``rows`` are those of its metrics.csv."""

    path: Path
    recipe: Recipe
    record: RunRecord
    rows: tuple[dict[str, float], ...]

    def seen(self, cancel: Cancel) -> Seen:
        """Who trained and who validated. Raises UserError when the training data are not there any more."""
        folder = Path(self.record.data)
        studies, _ = find(folder, self.recipe.data, cancel)
        by_patient: dict[str, Role] = dict.fromkeys(self.record.validation_patients, "validation")
        by_patient |= dict.fromkeys(self.record.training_patients, "train")
        seen = [study for study in studies if study.patient in by_patient]
        return Seen(folder, {main_content(study): by_patient[study.patient] for study in seen}, by_patient)


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """A bundle to judge, with its run where that was given."""

    bundle: Path
    manifest: Manifest
    run: Run | None


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """Trials of one model: the same recipe, network and preprocessing, other seeds or data.

    Spacings may differ, which a training takes from its patients where the recipe leaves them to it.
    """

    title: str
    trials: tuple[Candidate, ...]

    @property
    def manifest(self) -> Manifest:
        """That of the first trial; the others' differ in nothing that is asked of it."""
        return self.trials[0].manifest


def candidates_of(bundles: Sequence[Path], runs: Sequence[Path]) -> list[Candidate]:
    """The bundles, each with the run among ``runs`` that holds its very weights.

    Raises UserError for a bundle given twice, and for a run that none of them was exported from.
    """
    manifests = {bundle: read_manifest(bundle) for bundle in bundles}
    checksums = [manifest.checksum for manifest in manifests.values()]
    if len(manifests) < len(bundles) or len(set(checksums)) < len(checksums):
        raise UserError("A bundle is given twice, which would count as two trials; give each one once.")
    owners: dict[Path, Run] = {}
    for path in runs:
        bundle, run = _owner(path, manifests)
        owners[bundle] = run
    return [Candidate(bundle, manifest, owners.get(bundle)) for bundle, manifest in manifests.items()]


def models_of(candidates: Sequence[Candidate]) -> list[Model]:
    """Trials of one model together, in the order of their first ones, each model with a title of its own."""
    groups: list[list[Candidate]] = []
    for candidate in candidates:
        same = (group for group in groups if _kind(group[0].manifest) == _kind(candidate.manifest))
        group = next(same, None)
        if group is None:
            groups.append([candidate])
        else:
            group.append(candidate)
    kinds = [_kind(group[0].manifest) for group in groups]
    return [Model(_title(kind, kinds), tuple(group)) for kind, group in zip(kinds, groups, strict=True)]


@dataclasses.dataclass(frozen=True)
class _Kind:
    recipe: str
    settings: dict[str, Any]


def _kind(manifest: Manifest) -> _Kind:
    description = to_data(manifest.network)
    preprocessing = {
        f"preprocessing {name}": value
        for name, value in to_data(manifest.preprocessing).items()
        if name not in FROM_PATIENTS
    }
    return _Kind(manifest.recipe, {"family": description["family"], **description["settings"], **preprocessing})


def _title(kind: _Kind, kinds: Sequence[_Kind]) -> str:
    """The recipe, and what tells it from models of the same recipe."""
    others = [other for other in kinds if other.recipe == kind.recipe and other != kind]
    differing = [
        f"{name} {value}"
        for name, value in kind.settings.items()
        if any(other.settings.get(name) != value for other in others)
    ]
    return f"{kind.recipe} ({', '.join(differing)})" if differing else kind.recipe


def _owner(path: Path, manifests: dict[Path, Manifest]) -> tuple[Path, Run]:
    folder = RunFolder(path)
    folder.check_is_run()
    recipe, record, state = folder.recipe(), folder.record(), folder.load()
    if state is not None:
        for bundle, manifest in manifests.items():
            described = to_data(manifest.network) == to_data(recipe.network)
            if described and manifest.preprocessing == record.preprocessing:
                weights = load_network(bundle, manifest).state_dict()
                if _are_equal(weights, state.best_network):
                    return bundle, Run(path, recipe, record, tuple(state.rows))
    raise UserError(f"None of the bundles was exported from the run {path}; give its own bundle, or leave it out.")


def _are_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
