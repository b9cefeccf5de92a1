"""One study to train on: co-registered images of a patient, and the masks drawn on them, still as files."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from SlicerVAELib.core.channels import laid_on
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.structure_names import StructureNames
from SlicerVAELib.core.volume import Volume
from SlicerVAELib.io.discover import Found
from SlicerVAELib.io.images import parts_of

from ..recipe import DataSettings
from .masks import MaskFiles


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """``images`` by the name of their channel, the main one first ("" where it has no name); ``name`` is what messages
    call it, another for every study of a data folder. ``names_file`` has a site's own names of structures."""

    patient: str
    name: str
    images: Mapping[str, Found]
    mask_files: tuple[Path, ...] = ()
    names_file: Path | None = None

    @property
    def main(self) -> Found:
        """The image that the others and the masks are laid on."""
        return next(iter(self.images.values()))

    def files(self) -> Iterator[tuple[str, Path]]:
        """All files that it is read from, each with what it is read as."""
        for channel, found in self.images.items():
            yield from ((f"channel {channel}", part) for path in found.files for part in parts_of(path))
        for path in self.mask_files:
            yield from ((f"mask {path.name}", part) for part in parts_of(path))  # masks are chosen by their names
        if self.names_file is not None:
            yield "names", self.names_file

    def read(self, settings: DataSettings) -> tuple[Volume, np.ndarray | None]:
        """The main image with its further channels and its structures, and where the loss leaves it out (K, J, I).

        Raises UserError for images that can't be read or laid on each other, and its LacksStructureError.
        """
        volume = _readable(self.main)
        channels = {name: laid_on(volume, _readable(found)) for name, found in list(self.images.items())[1:]}
        if not (settings.structures or settings.leave_out):
            return volume.replace(channels=channels), None
        standards = StructureNames(self.names_file)
        masks = MaskFiles(volume, self.mask_files, [*settings.structures, *settings.leave_out], standards)
        whole = volume.replace(channels=channels, masks=masks.structures(settings.structures))
        return whole, masks.like(settings.leave_out)


def _readable(found: Found) -> Volume:
    volume = found.read()
    if volume.array.dtype.kind == "f" and not np.isfinite(volume.array).all():
        raise UserError(f"{found.path} holds values that are not numbers; repair it, or leave it out with exclude.")
    return volume
