"""Which files of a data folder may hold the masks of which volume, told by where they lie and what they say."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .dicom_headers import Header
from .images import VOLUME_FILES, ending, stem

_TRUTH_FOLDERS = {"truth", "labels", "labelstr", "labelsts", "masks", "segmentations"}
_SEGMENTATION = re.compile(
    r"(?<![a-z])(lesions?|labels?|labelmaps?|[a-z]*masks?|[a-z]{0,4}seg|segmentations?)(?![a-z])"
)


def lies_in_truth(path: Path, root: Path) -> bool:
    """Whether it lies in a folder of truth or labels."""
    return any(part.lower() in _TRUTH_FOLDERS for part in path.relative_to(root).parts[:-1])


def is_label_map(path: Path, root: Path) -> bool:
    """Whether a volume file is a label map, by its name or its folder."""
    is_volume = bool(ending(path, VOLUME_FILES))
    return is_volume and (lies_in_truth(path, root) or bool(_SEGMENTATION.search(stem(path).lower())))


def label_maps_by_folder(files: Iterable[Path], root: Path) -> dict[Path, list[Path]]:
    """The label maps among ``files`` by the folder whose volumes they may belong to: that which they lie in, or which
    their folder of truth lies in."""
    homes: dict[Path, list[Path]] = {}
    for path in files:
        if is_label_map(path, root):
            parents = path.relative_to(root).parts[:-1]
            truth = next((n for n, part in enumerate(parents) if part.lower() in _TRUTH_FOLDERS), len(parents))
            homes.setdefault(root.joinpath(*parents[:truth]), []).append(path)
    return homes


def label_maps_of(
    folder: Path, name: str, homes: Mapping[Path, Sequence[Path]], folders: Iterable[Path], root: Path
) -> tuple[Path, ...]:
    """The label maps of the volume ``name`` in ``folder``, where volumes lie in ``folders``.

    Those in its folder, or in the one around it (``…/CT/*.dcm`` beside ``…/heart.seg.nrrd``) when that holds no volumes
    of its own. Directly in ``root``, where each file is a patient of its own, those whose names begin with its name;
    of those for all patients (``truth/P1_lesion.nrrd``) also those whose names begin with the patient's folder.
    """
    if folder == root:
        return tuple(path for path in homes.get(root, ()) if stem(path).startswith(name))
    patient = folder.relative_to(root).parts[0]
    common = tuple(path for path in homes.get(root, ()) if re.match(rf"{re.escape(patient)}(?![^\W_])", stem(path)))
    around = folder.parent
    if folder not in homes and around != root and around not in folders:
        folder = around
    return (*homes.get(folder, ()), *common)


def structure_sets_of(image: Header, sets: Sequence[Header]) -> tuple[Path, ...]:
    """The RT structure sets of the study that a slice belongs to; where it has none, of the patient."""
    of_study = [header.path for header in sets if header.study_uid == image.study_uid]
    return tuple(of_study or [header.path for header in sets if header.patient and header.patient == image.patient])
