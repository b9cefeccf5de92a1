"""The structures of a study by name, and what of it the loss leaves out, from whatever files lie beside it."""

import fnmatch
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from SlicerVAELib.core.errors import UserError, continued, nearest
from SlicerVAELib.core.structure_names import StructureNames
from SlicerVAELib.core.volume import Volume
from SlicerVAELib.io.images import VOLUME_FILES, ending, stem
from SlicerVAELib.io.structures import DrawnElsewhereError, read_structures

Masks = dict[str, np.ndarray]


class LacksStructureError(UserError):
    """The study has no structure of that name."""


class MaskFiles:
    """The structure sets and label maps that were drawn on a volume."""

    def __init__(self, volume: Volume, files: Sequence[Path], named: Sequence[str], standards: StructureNames) -> None:
        """Read them; those drawn on another image are passed over, unless their name is like one of ``named`` and no
        other such file fits. ``standards`` knows a site's own names of structures. Raises UserError for a file that
        can't be read."""
        self._volume = volume
        self._standards = standards
        self._by_file: dict[Path, Masks] = {}
        elsewhere: list[DrawnElsewhereError] = []
        for path in files:
            try:
                self._by_file[path] = read_structures(path, volume)
            except DrawnElsewhereError as error:
                if _names_file(path, named):
                    elsewhere.append(error)
        if elsewhere and not any(_names_file(path, named) for path in self._by_file):
            raise elsewhere[0]

    def structures(self, names: Sequence[str]) -> Masks:
        """The masks (K, J, I) of these structures, without regard to case, else by their standard names; a label map
        whose file has the name counts as a whole. Raises LacksStructureError, and UserError where two have the same
        one."""
        return {name: self._structure(name) for name in names}

    def like(self, patterns: Sequence[str]) -> np.ndarray | None:
        """Where any structure, or any label map's file, has a name like one of the patterns; None without any."""
        chosen = [
            mask
            for path, masks in self._by_file.items()
            for name, mask in masks.items()
            if _names_file(path, patterns) or _fits(name, patterns)
        ]
        return np.logical_or.reduce(chosen) if chosen else None

    def _structure(self, name: str) -> np.ndarray:
        fitting: dict[Path, np.ndarray] = {}
        for path, masks in self._by_file.items():
            if (meant := self._meant(name, masks, path)) is not None:
                fitting[path] = masks[meant]
            elif masks and ending(path, VOLUME_FILES) and stem(path).casefold() == name.casefold():
                fitting[path] = np.logical_or.reduce(list(masks.values()))
        if len(fitting) > 1:
            files = " and ".join(str(path) for path in fitting)
            raise UserError(f"The structure '{name}' is in {files}; leave out one of them with data.exclude.")
        if not fitting:
            raise LacksStructureError(self._lacks(name))
        return next(iter(fitting.values()))

    def _meant(self, name: str, masks: Masks, path: Path) -> str | None:
        try:
            return self._standards.meant(name, masks)
        except UserError as error:
            raise UserError(f"In {path}, {continued(error)}") from error

    def _lacks(self, name: str) -> str:
        called = self._volume.source.path or self._volume.source.name
        known = [other for masks in self._by_file.values() for other in masks]
        return f"{called} has no structure '{name}'; " + (
            nearest(name, known) if known else "there is no structure set or label map of it."
        )


def _names_file(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a label map's file is called like one of the patterns. Those of structure sets say nothing."""
    return bool(ending(path, VOLUME_FILES)) and (_fits(path.name, patterns) or _fits(stem(path), patterns))


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.casefold(), pattern.casefold()) for pattern in patterns)
