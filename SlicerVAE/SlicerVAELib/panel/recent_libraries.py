"""The patient libraries that were opened before, in the application's settings."""

import qt

SETTING = "SlicerVAE/RecentLibraries"
MOST = 10
_SEPARATOR = "\n"  # an address has none


def recent_libraries() -> tuple[str, ...]:
    """Return their addresses, none with a password, the newest first."""
    return tuple(filter(None, str(qt.QSettings().value(SETTING) or "").split(_SEPARATOR)))


def remember_library(address: str) -> None:
    """Put an address, which has no password, first."""
    others = [known for known in recent_libraries() if known != address]
    qt.QSettings().setValue(SETTING, _SEPARATOR.join([address, *others][:MOST]))
