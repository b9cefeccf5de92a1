"""Seeded damage to files, as disks, networks and careless programs do it."""

from collections.abc import Sequence

import numpy as np

Span = tuple[int, int]


def damaged(data: bytes, rng: np.random.Generator, elements: Sequence[Span] = ()) -> bytes:
    """``data`` with one kind of damage: cut off, a few bits flipped, a short run of bytes zeroed, or one of its
    ``elements`` (from byte, to byte) dropped. Never ``data`` itself."""
    kinds = ["truncation", "bits", "bits", "header bits", "zeros", *["element"] * (2 if elements else 0)]
    kind = kinds[rng.integers(len(kinds))]
    if kind == "truncation":
        return data[: rng.integers(len(data))]
    if kind == "element":
        start, stop = elements[rng.integers(len(elements))]
        return data[:start] + data[stop:]
    changed = bytearray(data)
    if kind == "zeros":
        start = int(rng.integers(len(data)))
        changed[start : start + 8] = bytes(len(changed[start : start + 8]))
        return bytes(changed) if changed != data else data[:-1]
    end = min(len(data), 1000) if kind == "header bits" else len(data)
    for place in rng.choice(end, rng.integers(1, 6), replace=False):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def elements_of(data: bytes, tags: Sequence[tuple[int, int]]) -> list[Span]:
    """Where the elements ``tags`` of an explicit little-endian DICOM file stand, those of a short form with a value of
    known length."""
    spans = []
    for group, element in tags:
        start = data.find(group.to_bytes(2, "little") + element.to_bytes(2, "little"))
        if start >= 0:
            spans.append((start, start + 8 + int.from_bytes(data[start + 6 : start + 8], "little")))
    return spans
