"""Figures on their way to the disk and into the report, and those that do not apply."""

import dataclasses
from pathlib import Path

from matplotlib.figure import Figure

from .figures.style import to_bytes


@dataclasses.dataclass(frozen=True, eq=False)
class Plate:
    """A finished figure; ``name`` is that of its files without their ending."""

    name: str
    caption: str
    png: bytes
    svg: bytes


@dataclasses.dataclass(eq=False)
class Album:
    """The figures of one section of the report, and a sentence for each one that does not apply."""

    title: str
    plates: list[Plate] = dataclasses.field(default_factory=list)
    omissions: list[str] = dataclasses.field(default_factory=list)

    def add(self, name: str, figure: Figure, caption: str) -> None:
        """Keep a figure, which is closed."""
        self.plates.append(Plate(name, caption, *to_bytes(figure)))

    def omit(self, sentence: str) -> None:
        """Tell why a figure is not there."""
        self.omissions.append(sentence)

    def write(self, folder: Path) -> None:
        """Write each figure as PNG and as SVG."""
        folder.mkdir(exist_ok=True)
        for plate in self.plates:
            (folder / f"{plate.name}.png").write_bytes(plate.png)
            (folder / f"{plate.name}.svg").write_bytes(plate.svg)
