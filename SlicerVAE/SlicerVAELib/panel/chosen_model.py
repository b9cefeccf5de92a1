"""The chosen bundle, read once and again when it changes on disk."""

from pathlib import Path

from ..core.errors import UserError
from ..core.manifest import Manifest, read_manifest

NO_PATH = Path()  # how the parameter node keeps that nothing is chosen


class ChosenModel:
    """``manifest`` is None where nothing is chosen, or what ``complaint`` tells of is."""

    def __init__(self) -> None:
        self.bundle = NO_PATH
        self.manifest: Manifest | None = None
        self.complaint = ""

    def choose(self, bundle: Path) -> None:
        """Read another bundle; the one that is chosen already is not read again."""
        if bundle == self.bundle:
            return
        self.bundle, self.manifest, self.complaint = bundle, None, ""
        if bundle == NO_PATH:
            return
        try:
            self.manifest = read_manifest(bundle)
        except UserError as error:
            self.complaint = str(error)

    def forget(self) -> None:
        """Read the bundle again when it is next chosen."""
        self.bundle, self.manifest, self.complaint = NO_PATH, None, ""
