"""The studies that a recipe trains on."""

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from SlicerVAELib.core.errors import UserError, nearest
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.io.discover import Found, discover, is_like

from ..recipe import DataSettings
from .study import Study


def find(data: Path, settings: DataSettings, cancel: Cancel | None = None) -> tuple[list[Study], dict[str, str]]:
    """The studies in ``data`` that the settings let take part, in a fixed order, and those left out with the reason.

    Without channels every volume is a study. With them, the volumes of one patient in one folder, or in one DICOM
    study, are one. Raises UserError when nothing is left, when a channel's pattern fits several volumes of a study, or
    when a patient to be kept apart is not there: a slip of the pen would otherwise train on the test.
    """
    found = discover(data, include=settings.include, exclude=settings.exclude, cancel=cancel)
    patients = {item.patient for item in found}
    for name in settings.exclude_patients:
        if name not in patients:
            raise UserError(f"There is no patient '{name}' in {data} to be kept apart; {nearest(name, patients)}")
    found = [item for item in found if item.patient not in settings.exclude_patients]
    if not found:
        raise UserError(f"Every patient in {data} is kept apart by exclude_patients; leave some to train on.")
    if not settings.channels:
        return [_study(item, {"": item}, data, settings) for item in found], {}
    studies, left_out = [], {}
    for place, volumes in _together(found, data).items():
        chosen = {name: _one_like(pattern, name, volumes, place, data) for name, pattern in settings.channels.items()}
        missing = next((name for name, item in chosen.items() if item is None), None)
        if missing is None:
            images = {name: item for name, item in chosen.items() if item is not None}
            studies.append(_study(next(iter(images.values())), images, data, settings))
        else:
            pattern = settings.channels[missing]
            left_out[place] = f"{place} has no volume like '{pattern}' (channel {missing}) and is left out."
    if not studies:
        raise UserError(f"No study in {data} has all channels; {next(iter(left_out.values()))}")
    return studies, left_out


def _study(main: Found, images: dict[str, Found], data: Path, settings: DataSettings) -> Study:
    needs_masks = settings.structures or settings.leave_out
    masks = tuple(path for path in main.mask_files if not _is_excluded(path, data, settings)) if needs_masks else ()
    place = main.path.relative_to(data).as_posix()
    name = f"{place} (series …{main.series[-10:]})" if main.series else place
    names = data / settings.structure_names if masks and settings.structure_names else None
    return Study(main.patient, name, images, masks, names)


def _is_excluded(path: Path, data: Path, settings: DataSettings) -> bool:
    names = (path.relative_to(data).as_posix().lower(), path.name.lower())
    return any(fnmatch.fnmatchcase(name, pattern.lower()) for name in names for pattern in settings.exclude)


def _together(found: Sequence[Found], data: Path) -> dict[str, list[Found]]:
    """Volumes by what they have in common, as messages call it."""
    groups: dict[str, list[Found]] = {}
    for item in found:
        place = f"study …{item.study[-10:]}" if item.study else item.folder.relative_to(data).as_posix()
        name = item.patient if place == item.patient else f"{item.patient} ({place})"
        groups.setdefault(name, []).append(item)
    return groups


def _one_like(pattern: str, channel: str, volumes: Sequence[Found], place: str, data: Path) -> Found | None:
    fitting = [item for item in volumes if is_like(item, data, [pattern])]
    if len(fitting) > 1:
        names = ", ".join(item.description if item.series else item.path.name for item in fitting)
        raise UserError(
            f"'{pattern}' (channel {channel}) fits {len(fitting)} volumes of {place}: {names}; give a pattern that "
            "fits one."
        )
    return fitting[0] if fitting else None
