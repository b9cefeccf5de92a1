"""The volumes that a recipe trains on."""

from pathlib import Path

from SlicerVAELib.core.errors import UserError, nearest
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.io.discover import Found, discover

from ..recipe import DataSettings


def find(data: Path, settings: DataSettings, cancel: Cancel | None = None) -> list[Found]:
    """The volumes in ``data`` that the settings let take part, in a fixed order.

    Raises UserError when nothing is left, or when a patient to be kept apart is not there: a slip of the pen would
    otherwise train on the test.
    """
    found = discover(data, include=settings.include, exclude=settings.exclude, cancel=cancel)
    patients = {item.patient for item in found}
    for name in settings.exclude_patients:
        if name not in patients:
            raise UserError(f"There is no patient '{name}' in {data} to be kept apart; {nearest(name, patients)}")
    left = [item for item in found if item.patient not in settings.exclude_patients]
    if not left:
        raise UserError(f"Every patient in {data} is kept apart by exclude_patients; leave some to train on.")
    return left
