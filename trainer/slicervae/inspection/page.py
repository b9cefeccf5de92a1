"""The findings as one self-contained HTML page with pictures."""

import base64
import html
from collections.abc import Iterable, Sequence

from ..report import Report
from . import words
from .findings import Inspection, PatientFacts, VolumeFacts

_HEADER = ("", "Volume", "Kind", "Size", "Spacing (mm)", "Plane", "Field of view (mm)", "Values", "Acquisition")
_STYLE = """<style>
body{max-width:1400px} td img{width:400px;max-width:none;display:block} th{border-bottom:1px solid #d7dde4}
</style>"""


def to_page(inspection: Inspection) -> str:
    """The page: what a training would see first, then doubts, and every patient with thumbnails."""
    page = _Page(f"What is in {inspection.folder}", words.formats(inspection) or "no volumes")
    page.paragraph(
        "This page names patients as the files do and shows their images: keep it where patient data may be kept.",
        note=True,
    )
    page.heading("What a training would see")
    page.paragraph(inspection.outlook.sentence)
    if inspection.outlook.command:
        page.listing([inspection.outlook.command])
    page.sentences("Doubts", inspection.doubts)
    page.sentences("Left out", words.left_out(inspection))
    for patient in inspection.patients:
        page.heading(patient.patient + ("" if patient.is_identified else " (not identified)"))
        page.volumes(patient, inspection.thumbnails)
        page.items(words.companions(patient))
    return page.html()


class _Page(Report):
    """A report that also has rows of volumes."""

    def __init__(self, title: str, subtitle: str) -> None:
        super().__init__(title, subtitle)
        self._parts.insert(0, _STYLE)

    def sentences(self, title: str, lines: Iterable[str]) -> None:
        """A section, where there is anything to say."""
        every = list(lines)
        if every:
            self.heading(title)
            self.items(every)

    def items(self, lines: Iterable[str]) -> None:
        """Sentences with a dot in front."""
        body = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        if body:
            self._parts.append(f"<ul>{body}</ul>")

    def volumes(self, patient: PatientFacts, thumbnails: dict[int, bytes]) -> None:
        """A table of a patient's volumes, each with its picture."""
        if not patient.volumes:
            return
        header = "".join(f"<th>{html.escape(title)}</th>" for title in _HEADER)
        body = "".join(_row(volume, thumbnails.get(volume.number)) for volume in patient.volumes)
        self._parts.append(f"<table><tr>{header}</tr>{body}</table>")


def _row(volume: VolumeFacts, png: bytes | None) -> str:
    picture = ""
    if png is not None:
        alternative = html.escape(f"middle slices of {volume.path}", quote=True)
        picture = f'<img alt="{alternative}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'
    label_maps = (f"label map beside it: {path}" for path in volume.label_maps)
    cells: Sequence[str] = (
        "\n".join(filter(None, (words.name(volume), volume.path, *label_maps, volume.trouble))),
        words.kind(volume),
        words.size(volume),
        words.spacing(volume),
        volume.plane or "?",
        words.field_of_view(volume),
        words.intensities(volume),
        words.acquisition(volume),
    )
    texts = "".join(f"<td>{html.escape(cell).replace(chr(10), '<br>')}</td>" for cell in cells)
    return f"<tr><td>{picture}</td>{texts}</tr>"
