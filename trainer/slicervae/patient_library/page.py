"""A comparison as a self-contained HTML page."""

import base64
import html

from ..report import Report
from .comparison import Comparison
from .documents import contour_summary, scale_in_words
from .figures import dvh_figure
from .tables import achievable_table, contour_table, ranking_table

_STYLE = """<style>
body{max-width:1240px} td,th{white-space:nowrap} table{font-size:.84rem}
.row{display:flex;flex-wrap:wrap;gap:1rem .7rem;margin:1rem 0} .row figure{margin:0;width:194px;position:relative}
.row img{width:194px;height:194px;background:#000;display:block} .row .own img{outline:3px solid #2b6cb0}
.row b{position:absolute;top:84px;color:#ff0;font-size:.8rem} .row b:first-of-type{left:5px}
.row b:last-of-type{right:5px} .row figcaption{white-space:pre-line;margin-top:.3rem;font-size:.82rem}
</style>"""


def to_page(comparison: Comparison, picture: bytes, library: str, model: str) -> str:
    """The page; ``picture`` is the query's shown slice as PNG, ``library`` and ``model`` what messages call them."""
    page = _Page("Similar patients", f"{len(comparison.patients)} patients of {library}, compared by {model}")
    page.paragraph(
        "This page shows a patient: keep it where patient data may be kept. Research and decision support; similar "
        "images do not make a plan right.",
        note=True,
    )
    for notice in comparison.notices:
        page.paragraph(notice, note=True)
    page.pictures(comparison, picture)
    page.heading("Ranking")
    page.matrix(ranking_table(comparison))
    page.paragraph(
        f"{scale_in_words(comparison)} Doses are mean / D0.03cc in {comparison.measure.unit}; marked patients were "
        "treated in other fractions, and their doses are physical ones."
    )
    if (curves := dvh_figure(comparison)) is not None:
        page.heading("Dose–volume histograms")
        page.picture(curves, "This patient thick, similar patients thin; the share of each structure's volume.")
    if comparison.achievable:
        page.heading("Achievable dose")
        page.matrix(achievable_table(comparison))
        page.paragraph(
            f"Median and quartiles over the similar patients above, in {comparison.measure.unit}. Marked: this "
            "patient's value lies outside of the quartiles, as half of all values do by chance."
        )
    page.heading("Contour check")
    page.paragraph(contour_summary(comparison))
    if comparison.contours:
        page.matrix(contour_table(comparison))
        page.paragraph(
            "Positions: towards the head (S) or the feet (I) from the body origin, and to the patient's left (L) or "
            "right (R) of the middle of the body's contour. Robust z: distance from the library's median, in median "
            "absolute deviations × 1.4826."
        )
    return page.html()


class _Page(Report):
    """A report with a row of pictures."""

    def __init__(self, title: str, subtitle: str) -> None:
        super().__init__(title, subtitle)
        self._parts.insert(0, _STYLE)

    def pictures(self, comparison: Comparison, own: bytes) -> None:
        """The query and each neighbour that has a picture, side by side, with what they are below."""
        posteriors = comparison.query.series.record.posteriors
        level = float(posteriors.positions_mm[comparison.query.shown_slice])
        figures = [_figure(own, f"this patient\n{_level(level, posteriors.origin)}", "own")]
        for number, each in enumerate(comparison.patients, start=1):
            if each.picture is not None:
                level = each.picture.position_mm
                figures.append(_figure(each.picture.png, f"{number}: {each.pseudonym}\n{level:+.0f} mm"))
        self._parts.append(f"<div class=row>{''.join(figures)}</div>")
        self.paragraph("Of each similar patient the kept picture that is nearest to the matched slice.")


def _level(position_mm: float, origin: str) -> str:
    landmark = {"lungs": "the lungs' centroid", "vertex": "the vertex"}.get(origin, "the middle of the scan")
    return f"{position_mm:+.0f} mm from {landmark}"


def _figure(png: bytes, caption: str, kind: str = "") -> str:
    words = html.escape(caption, quote=True)
    source = base64.b64encode(png).decode("ascii")
    return (
        f'<figure class="{kind}"><img alt="{words}" src="data:image/png;base64,{source}">'
        f"<b>R</b><b>L</b><figcaption>{words}</figcaption></figure>"
    )
