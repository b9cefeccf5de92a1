"""The Python that computes: Slicer's own, or the one that a setting names."""

import shutil

import slicer.util

from ..core.errors import UserError
from .translation import tr as _

SETTING = "SlicerVAE/WorkerPython"


def configured_python() -> str:
    """Return the interpreter that the application setting names, empty when it names none."""
    return str(slicer.util.settingsValue(SETTING, "") or "")


def worker_python() -> str:
    """Return the interpreter to start the worker with. Raises UserError when there is none."""
    name = configured_python() or "PythonSlicer"
    path = shutil.which(name)
    if path is None:
        raise UserError(
            _("'{name}' can't be found or run; name a Python with PyTorch in the setting {setting}.").format(
                name=name, setting=SETTING
            )
        )
    return path
