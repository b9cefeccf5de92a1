"""A self-contained HTML page: headings, sentences, tables and pictures, nothing loaded from elsewhere."""

import base64
import html
from collections.abc import Iterable

from .table import Table

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1d2733;max-width:1100px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;margin-bottom:.2rem} h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid #d7dde4}
figure{margin:1rem 0} img{max-width:100%;height:auto} figcaption{color:#4a5568;font-size:.9rem}
table{border-collapse:collapse;font-size:.92rem} td,th{padding:.2rem .9rem .2rem 0;text-align:left;vertical-align:top}
td.number{text-align:right;font-variant-numeric:tabular-nums} .note{background:#fff7e6;border-left:4px solid #dd9a2e;
padding:.5rem .9rem} .matrix{overflow-x:auto} .matrix th{border-bottom:1px solid #d7dde4;vertical-align:bottom}
.matrix :is(td,th):not(:first-child){text-align:right;font-variant-numeric:tabular-nums}
tr.marked td{background:#fff1d6} code{background:#f1f4f7;padding:.1rem .3rem}
"""


class Report:
    """Collects the parts of a page in order."""

    def __init__(self, title: str, subtitle: str) -> None:
        self._title = title
        self._parts = [f"<h1>{html.escape(title)}</h1><p>{html.escape(subtitle)}</p>"]

    def heading(self, text: str) -> None:
        """A section's heading."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str, *, note: bool = False) -> None:
        """A paragraph, set off as a note where it must not be missed."""
        kind = ' class="note"' if note else ""
        self._parts.append(f"<p{kind}>{html.escape(text)}</p>")

    def picture(self, png: bytes, caption: str) -> None:
        """A picture with its caption, which also stands for it where it can't be seen."""
        source, words = base64.b64encode(png).decode("ascii"), html.escape(caption, quote=True)
        self._parts.append(
            f'<figure><img alt="{words}" src="data:image/png;base64,{source}"><figcaption>{words}</figcaption></figure>'
        )

    def table(self, rows: Iterable[tuple[str, str]]) -> None:
        """Two columns: what, and its value."""
        body = "".join(
            f"<tr><td>{html.escape(name)}</td><td class=number>{html.escape(value)}</td></tr>" for name, value in rows
        )
        self._parts.append(f"<table>{body}</table>")

    def matrix(self, table: Table) -> None:
        """Columns under a header, the first set to the left and all others, numbers or words, to the right; marked rows
        stand out."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.header)
        body = "".join(
            f"<tr{' class=marked' if n in table.marked else ''}>"
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
            + "</tr>"
            for n, row in enumerate(table.rows)
        )
        self._parts.append(f"<div class=matrix><table><tr>{head}</tr>{body}</table></div>")

    def listing(self, lines: Iterable[str]) -> None:
        """Commands or other lines to be read as they are."""
        self._parts.append("<ul>" + "".join(f"<li><code>{html.escape(line)}</code></li>" for line in lines) + "</ul>")

    def html(self) -> str:
        """The page."""
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(self._title)}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
            f"<body>{''.join(self._parts)}</body></html>\n"
        )
