"""The two ways in which work ends early, both meant to be shown to a person as they are."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something a person can mend. The message is one sentence: what is wrong, with which file or node, what to do."""


class Cancelled(Exception):
    """The person asked to stop; nothing was written."""

    def __init__(self, message: str = "Cancelled; nothing was changed.") -> None:
        super().__init__(message)


def nearest(name: str, valid: Iterable[str]) -> str:
    """End of a sentence about an unknown name: the nearest valid one, or all of them when none is near."""
    choices = sorted(valid)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return "valid are " + ", ".join(f"'{choice}'" for choice in choices) + "."


def listed(words: Iterable[str]) -> str:
    """Words as a sentence lists them: "a", "a and b", "a, b and c"."""
    every = list(words)
    return " and ".join([", ".join(every[:-1]), every[-1]] if len(every) > 1 else every)


def continued(sentence: object) -> str:
    """A sentence, such as an error's, as it goes on behind another's colon: with a small first letter."""
    text = str(sentence)
    return text[:1].lower() + text[1:]
