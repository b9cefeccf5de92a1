"""Names of structures."""

from collections.abc import Container


def unused(name: str, taken: Container[str]) -> str:
    """``name``, with the first free number behind it when it is already ``taken``."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name} ({number})"
    return candidate
