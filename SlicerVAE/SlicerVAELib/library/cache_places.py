"""Where the mapped search files of a library lie, and which of them are out of date."""

import contextlib
import dataclasses
import shutil
import stat
import time
from pathlib import Path

from .address import Address, FileAddress
from .sealed_folder import is_unchanged, is_whole
from .user_folders import cache_folder

_PRIVATE = 0o600
_ABANDONED_S = 3600.0  # what a process still writes to is younger
_LINGERING_S = 60.0  # what a process may be about to open is younger


@dataclasses.dataclass(frozen=True)
class CachePlaces:
    """The folders that may hold the search files of a library: beside it, or in the user's cache where that can't be
    written or the library is on a server. In them each state of the library has a folder of its own."""

    folders: tuple[Path, ...]
    mode: int

    @classmethod
    def of(cls, address: Address, library_id: str) -> "CachePlaces":
        """The places for the library with this address and identity."""
        own = cache_folder() / "libraries" / library_id
        if not isinstance(address, FileAddress):
            return cls((own,), _PRIVATE)
        beside = address.path.with_name(f"{address.path.name}.search")
        return cls((beside, own), stat.S_IMODE(address.path.stat().st_mode) & 0o666)

    def current(self, state: str) -> Path | None:
        """The folder with the files of the library in this state, None where they have to be made."""
        return next((folder / state for folder in self.folders if is_whole(folder / state)), None)

    def leftovers(self, state: str) -> list[Path]:
        """What is there of other states, and of processes that were killed while they made one."""
        return [path for path in self._all() if path.name != state]

    def is_damaged(self, state: str) -> bool:
        """Whether files of this state are there, but not as they were written."""
        found = [path for path in self._all() if path.name == state]
        return not all(is_unchanged(path) and all(map(is_unchanged, _subfolders(path))) for path in found)

    def tidy(self, state: str) -> None:
        """Remove what is out of date, but nothing that another process may be making or about to open."""
        now = time.time()
        for path in self.leftovers(state):
            with contextlib.suppress(OSError):
                age_s = now - path.stat().st_mtime
                if age_s > (_ABANDONED_S if path.name.startswith(".") else _LINGERING_S):
                    shutil.rmtree(path)

    def forget(self) -> None:
        """Remove all search files; what can't be removed stays among the leftovers."""
        for path in self._all():
            shutil.rmtree(path, ignore_errors=True)
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _all(self) -> list[Path]:
        return [path for folder in self.folders for path in _subfolders(folder)]


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []
