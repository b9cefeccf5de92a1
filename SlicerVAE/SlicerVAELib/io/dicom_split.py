"""Telling apart what a scanner puts into one series: echoes, phases, directions, sizes, scouts.

The slices of a SeriesInstanceUID are split by what never belongs into one volume; and where several slices still lie at
the same place, by the attribute that separates them.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from ..core.volume import Modality
from .dicom_headers import Header

SAME_PLACE_MM = 0.01
_SAME_DIRECTION = 1e-3  # of a cosine
_PLANES = ("sagittal", "coronal", "axial")

Part = tuple[str, list[Header]]
_Name = Callable[[Header], str]


def split(headers: Sequence[Header]) -> list[Part]:
    """The parts of one series that are volumes of their own, each with a name that tells it from the others, such as
    "echo 2" or "sagittal"; the name is empty when the series is one volume."""
    parts: list[Part] = [("", list(headers))]
    for name in (_role, _projection, _kind, _size):
        parts = [piece for part in parts for piece in _split_by(name, part)]
    parts = [piece for part in parts for piece in _split_by_direction(part)]
    parts = [piece for part in parts for piece in _split_by(_stack, part)]
    return [piece for part in parts for piece in _split_repeated(part)]


def _role(header: Header) -> str:
    if header.is_localizer:
        return "localizer"
    return "derived" if header.is_derived else ""


def _projection(header: Header) -> str:
    """Every projection is an image of its own, even where one says where its detector stood."""
    return f"image {header.instance_number or header.path.name}" if header.kind is Modality.XRAY else ""


def _kind(header: Header) -> str:
    if header.is_colour:
        return "colour"
    return f"{header.frames} frames" if header.frames > 1 else ""


def _size(header: Header) -> str:
    size = f"{header.columns}×{header.rows} pixels"
    return f"{size} of {header.spacing[1]:.4g}×{header.spacing[0]:.4g} mm" if header.spacing else size


def _stack(header: Header) -> str:
    return f"stack {header.stack}" if header.stack else ""


def _split_by(name: _Name, part: Part) -> list[Part]:
    return _named(part, _pieces(name, part[1]))


def _pieces(name: _Name, headers: Sequence[Header]) -> list[Part]:
    groups: dict[str, list[Header]] = {}
    for header in headers:
        groups.setdefault(name(header), []).append(header)
    return list(groups.items())


def _named(part: Part, pieces: Sequence[Part]) -> list[Part]:
    if len(pieces) == 1:
        return [part]
    return [(", ".join(filter(None, (part[0], name))), headers) for name, headers in pieces]


def _split_by_direction(part: Part) -> list[Part]:
    found: list[tuple[tuple[float, ...] | None, list[Header]]] = []
    known: dict[Hashable, int] = {}
    for header in part[1]:
        direction = header.orientation
        if direction not in known:
            alike = (n for n, (other, _) in enumerate(found) if _is_same_direction(direction, other))
            known[direction] = next(alike, len(found))
            if known[direction] == len(found):
                found.append((direction, []))
        found[known[direction]][1].append(header)
    planes = [_plane(direction) for direction, _ in found]
    doubled = {plane for plane, count in Counter(planes).items() if count > 1}
    numbers: Counter[str] = Counter()
    pieces = []
    for plane, (_, headers) in zip(planes, found, strict=True):
        numbers[plane] += 1
        pieces.append((f"{plane} {numbers[plane]}" if plane in doubled else plane, headers))
    return _named(part, pieces)


def _is_same_direction(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.abs(np.subtract(one, other)).max() <= _SAME_DIRECTION)


def _plane(direction: Sequence[float] | None) -> str:
    if direction is None:
        return "without direction"
    return _PLANES[int(np.abs(np.cross(direction[:3], direction[3:])).argmax())]


def _split_repeated(part: Part) -> list[Part]:
    """Split where slices lie at the same place, by the first attribute that leaves fewer of them there."""
    headers = part[1]
    if any(header.position is None or header.orientation is None for header in headers):
        return [part]
    places = _places(headers)
    repeats, most = _repeats(places), max(Counter(places).values())
    if most == 1:
        return [part]
    for name in _ATTRIBUTES:
        pieces = _pieces(name, headers)
        if not 1 < len(pieces) <= max(most, (max(places) + 1) // 2):
            continue  # one, or one for each slice: no volumes
        if sum(_repeats(_places(group)) for _, group in pieces) < repeats:
            return [last for piece in _named(part, pieces) for last in _split_repeated(piece)]
    return _named(part, _by_time(headers, places))


_ATTRIBUTES: tuple[_Name, ...] = (
    lambda header: f"echo {header.echo}" if header.echo else "",
    lambda header: "" if header.echo_time is None else f"echo time {header.echo_time:.3g} ms",
    lambda header: f"acquisition {header.acquisition}" if header.acquisition else "",
    lambda header: f"time point {header.time_point}" if header.time_point else "",
    lambda header: "" if header.b_value is None else f"b-value {header.b_value:g}",
    lambda header: " ".join(["type", *header.image_type[2:]]) if header.image_type[2:] else "",
)


def _by_time(headers: Sequence[Header], places: Sequence[int]) -> list[Part]:
    """Phases of a triggered scan: the n-th trigger time at each place, as the times differ from place to place."""
    times: dict[int, list[float]] = {}
    for header, place in zip(headers, places, strict=True):
        if header.trigger_time is None:
            return [("", list(headers))]
        times.setdefault(place, []).append(header.trigger_time)
    counts = {len(set(here)) for here in times.values()}
    if len(counts) > 1 or counts != {len(here) for here in times.values()}:
        return [("", list(headers))]
    ranks = {place: sorted(here) for place, here in times.items()}
    phases: dict[int, list[Header]] = {}
    for header, place in zip(headers, places, strict=True):
        phases.setdefault(ranks[place].index(header.trigger_time or 0.0), []).append(header)
    return [(f"time point {phase + 1}", phases[phase]) for phase in sorted(phases)]


def _places(headers: Sequence[Header]) -> list[int]:
    """For each slice the number of its place along the normal, equal for slices that lie at the same one."""
    direction = headers[0].orientation or (1, 0, 0, 0, 1, 0)
    heights = np.array([header.position for header in headers]) @ np.cross(direction[:3], direction[3:])
    order = np.argsort(heights, kind="stable")
    places = np.empty(len(headers), dtype=int)
    places[order] = np.cumsum(np.diff(heights[order], prepend=heights[order[0]]) >= SAME_PLACE_MM)
    return [int(place) for place in places]


def _repeats(places: Sequence[int]) -> int:
    return len(places) - len(set(places))
