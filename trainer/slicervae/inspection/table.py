"""The findings for a terminal of 100 columns."""

import textwrap
from collections.abc import Iterator, Sequence

from . import words
from .findings import Inspection, VolumeFacts

WIDTH = 100
_HEADER = ("Volume", "Kind", "Size", "Spacing mm", "Plane", "Field mm", "Values")
_WIDEST = (22, 4, 12, 16, 8, 11, 15)  # with two blanks between and in front, 99


def to_table(inspection: Inspection) -> str:
    """The text, at most 100 columns wide but for a command, which is to be copied whole."""
    lines = [*_wrapped(f"{inspection.folder}: {words.formats(inspection) or 'no volumes'}"), ""]
    rows = [_cells(volume) for volume in inspection.volumes]
    widths = [
        min(widest, max(len(cells[n]) for cells in [_HEADER, *rows])) if rows else 0 for n, widest in enumerate(_WIDEST)
    ]
    if rows:
        lines.append(_row(_HEADER, widths))
    for patient in inspection.patients:
        lines.append(_cut(patient.patient, WIDTH) + ("" if patient.is_identified else "  (not identified)"))
        for volume in patient.volumes:
            lines.append(_row(_cells(volume), widths))
            details = [
                words.acquisition(volume),
                *(f"label map beside it: {path}" for path in volume.label_maps),
                volume.trouble,
            ]
            for detail in filter(None, details):
                lines += _wrapped(detail, "      ")
        for line in words.companions(patient):
            lines += _wrapped(line, "      ")
    lines += _section("Left out", words.left_out(inspection))
    lines += _section("Doubts", inspection.doubts)
    lines += ["", *_wrapped(inspection.outlook.sentence)]
    if inspection.outlook.command:
        lines += ["  " + inspection.outlook.command]
    return "\n".join(lines) + "\n"


def _cells(volume: VolumeFacts) -> tuple[str, ...]:
    return (
        words.name(volume),
        words.kind(volume),
        words.size(volume),
        words.spacing(volume),
        volume.plane or "?",
        words.field_of_view(volume),
        words.intensities(volume),
    )


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return ("  " + "  ".join(f"{_cut(cell, w):<{w}}" for cell, w in zip(cells, widths, strict=True))).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _section(title: str, lines: Iterator[str] | Sequence[str]) -> list[str]:
    wrapped = [part for line in lines for part in _wrapped(line, "    ", "  - ")]
    return ["", title, *wrapped] if wrapped else []


def _wrapped(text: str, indent: str = "", first: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent if first is None else first, subsequent_indent=indent, break_on_hyphens=False
    )
