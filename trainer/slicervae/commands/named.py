"""Options written as NAME=VALUE."""

from collections.abc import Iterable


def named(texts: Iterable[str], value: str) -> dict[str, str]:
    """The values by name; ``value`` is what an error calls them ("file"). Raises UserError for a text without both."""
    from SlicerVAELib.core.errors import UserError

    found = {}
    for text in texts:
        name, _, rest = text.partition("=")
        if not (name and rest):
            raise UserError(f"The channel '{text}' has no name or no {value}; write it as NAME={value.upper()}.")
        found[name] = rest
    return found
