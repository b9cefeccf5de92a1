"""What a training would see of a folder, and the command to begin it with."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.discover import is_like

from ..data.split import SMALLEST_COHORT
from .findings import Outlook
from .volumes import Seen

_MOST_EXCLUDED = 5


def outlook_of(seen: Sequence[Seen], root: Path, data: str, *, has_pixels: bool) -> Outlook:
    """What 'slicervae fit' would find in ``data``, as the command calls the folder ``root``."""
    usable = [each for each in seen if _is_usable(each, has_pixels)]
    if not usable:
        return Outlook(0, 0, {}, f"Nothing can be trained on{_others(seen, usable)}.", "")
    kinds = Counter(each.facts.modality for each in usable)
    patients, count = _patients(usable), len(usable)
    by_kind = ", ".join(f"{number} × {kind or 'not told by a header'}" for kind, number in sorted(kinds.items()))
    sentence = (
        f"{_number(len(patients), 'patient')}, {_number(count, 'volume')} can be trained on ({by_kind})"
        f"{_others(seen, usable)}."
    )
    chosen = _modality_of_most(usable)
    pattern = _pattern(usable, chosen, seen, root)
    taken = [each for each in seen if pattern is None or is_like(each.found, root, [pattern])]
    if pattern is not None:
        training = [each for each in taken if each in usable]
        sentence += (
            f" A model is trained on one kind of image: '{pattern}' chooses {_number(len(training), 'volume')} of "
            f"{_number(len(_patients(training)), 'patient')}."
        )
    elif len(kinds) > 1:
        sentence += " A model is trained on one modality: choose with data.include and data.exclude."
    bad = sorted({each.found.path.relative_to(root).as_posix() for each in taken if each not in usable})
    words = ["slicervae", "fit", "vae50", "--data", data, "--out", "RUN"]
    words += ["--set", f"data.include={pattern}"] if pattern is not None else []
    words += ["--set", f"data.exclude=[{', '.join(map(_quoted, bad))}]"] if 0 < len(bad) <= _MOST_EXCLUDED else []
    if len(bad) > _MOST_EXCLUDED:
        sentence += f" {len(bad)} volumes in between have to be mended, or left out with data.exclude, first."
    training_patients = _patients(each for each in taken if each in usable)
    nameless = any(not each.found.names_patient for each in taken)
    if nameless or len(training_patients) < SMALLEST_COHORT:
        why = "not all say whose they are" if nameless else f"fewer than {SMALLEST_COHORT} patients"
        sentence += f" Nobody can be kept aside for validation ({why})."
        words += ["--set", "validation_share=0"]
    return Outlook(len(patients), count, dict(sorted(kinds.items())), sentence, shlex.join(words))


def _is_usable(each: Seen, has_pixels: bool) -> bool:
    if each.facts.trouble:
        return False
    return each.facts.modality in (Modality.CT, Modality.MR, Modality.XRAY) or not (has_pixels or each.found.series)


def _patients(seen: Iterable[Seen]) -> set[str]:
    return {each.found.patient for each in seen}


def _others(seen: Sequence[Seen], usable: Sequence[Seen]) -> str:
    rest = [each for each in seen if each not in usable]
    broken = sum(bool(each.facts.trouble) for each in rest)
    parts = [f"{broken} can't be read as one volume"] if broken else []
    parts += [f"{len(rest) - broken} are neither CT, MR nor X-ray"] if len(rest) > broken else []
    return "; " + ", ".join(parts) if parts else ""


def _modality_of_most(usable: Sequence[Seen]) -> str:
    kinds = sorted({each.facts.modality for each in usable})
    return max(kinds, key=lambda kind: len(_patients(each for each in usable if each.facts.modality == kind)))


def _pattern(usable: Sequence[Seen], modality: str, seen: Sequence[Seen], root: Path) -> str | None:
    """A pattern for one kind of image of ``modality`` in as many patients as can be; None when all volumes are of one
    kind, or no pattern tells them from the others.

    A word of the descriptions, such as a sequence's name, or else a folder.
    """
    chosen = [each for each in usable if each.facts.modality == modality]
    has_one_modality = len({each.facts.modality for each in usable}) == 1
    if has_one_modality and len(chosen) == len(_patients(chosen)):
        return None
    words = {word for each in chosen for word in re.findall(r"[^\W_]+", each.found.description) if len(word) > 1}
    folders = {each.found.path.relative_to(root).parts[0] for each in chosen if each.found.path != root}
    candidates = [*(f"*{word}*" for word in words), *(f"{folder}/*" for folder in folders)]
    best, best_rank = None, (len(_patients(chosen)) // 2, 0, 0, "")
    for pattern in candidates:
        fitting = [each for each in seen if is_like(each.found, root, [pattern])]
        if any(each not in chosen for each in fitting if each in usable) or len(fitting) == len(usable):
            continue
        patients = len(_patients(fitting))
        # Fewest patients with several volumes: the pattern names one kind of image rather than one visit.
        rank = (patients, -len({each.found.description for each in fitting}), len(fitting), pattern)
        if rank > best_rank:
            best, best_rank = pattern, rank
    return best


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"
