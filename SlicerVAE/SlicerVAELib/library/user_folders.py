"""This user's own folders, as the operating system wants them."""

import os
import sys
from pathlib import Path


def settings_folder() -> Path:
    """Where what is set up once is kept."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home() / "AppData" / "Roaming")) / "SlicerVAE"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "SlicerVAE"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "slicervae"


def cache_folder() -> Path:
    """Where what can be made again is kept: $SLICERVAE_CACHE, otherwise this user's folder for caches."""
    named = os.environ.get("SLICERVAE_CACHE")
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "SlicerVAE" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "SlicerVAE"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slicervae"
