"""Names of structures and files."""

import re
from collections.abc import Container


def unused(name: str, taken: Container[str]) -> str:
    """``name``, with the first free number behind it when it is already ``taken``."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name} ({number})"
    return candidate


def file_name(text: str) -> str:
    """A name, which may hold a structure's or a patient's, as that of a file on any system."""
    return re.sub(r"[^\w .()+-]", "_", text)
