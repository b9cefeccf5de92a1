"""The library's picture of a similar patient at the level that matches a slice of the query."""

import dataclasses
from typing import TYPE_CHECKING

from .neighbours import Neighbour
from .records import Thumbnail

if TYPE_CHECKING:
    from .store import Library


@dataclasses.dataclass(frozen=True)
class MatchedLevel:
    """Where a neighbour's matched slice lies, in mm towards the head from ``origin`` (see ``core.body_position``), and
    the picture nearest to it, None where the library keeps none."""

    position_mm: float
    origin: str
    picture: Thumbnail | None


def matched_level(library: "Library", neighbour: Neighbour, query_slice: int) -> MatchedLevel:
    """The neighbour's slice beside that of the query with this number, or with the nearest that has a match. Raises
    UserError for a record that was changed."""
    series = library.record(neighbour.pseudonym).series[neighbour.series]
    pair = min(neighbour.match.pairs, key=lambda pair: abs(pair.query - query_slice))
    level = float(series.posteriors.positions_mm[pair.candidate])
    picture = min(series.thumbnails, key=lambda picture: abs(picture.position_mm - level), default=None)
    return MatchedLevel(level, series.posteriors.origin, picture)
