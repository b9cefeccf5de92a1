"""Dataclasses to and from plain JSON data, checked when they are read.

Bundles, recipes and messages to the worker are all data that someone else may have written; this is the one place
that decides whether such data is what a dataclass says it is. A field may carry ``metadata={"min": …, "max": …}``
(inclusive bounds of a number) or ``metadata={"choices": (…)}``.
"""

import dataclasses
import enum
import math
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from .errors import UserError, nearest

Record = TypeVar("Record")


def to_data(value: Any) -> Any:
    """Return ``value`` (a dataclass, a container or a scalar) as dicts, lists and scalars that JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_data(item) for item in value]
    return value


def from_data(kind: type[Record], data: Any, where: str) -> Record:
    """Read ``data`` as the dataclass ``kind``.

    ``where`` names the source for a person ("bundle.json of …"). Raises UserError with one sentence for a missing or
    unknown key, a value of the wrong type, a number out of its bounds, or values that the dataclass itself refuses
    with a ValueError because they do not fit each other.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"{where} should hold named values but holds {_name_of(data)}.")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise UserError(f"{where} has an unknown entry '{key}'; {nearest(str(key), fields)}")
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _read(hints[name], data[name], f"{where}, entry '{name}'", field.metadata)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UserError(f"{where} lacks the entry '{name}'.")
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(f"{where} does not hold together: {error}.") from None


def _read(hint: Any, value: Any, where: str, metadata: Mapping[str, Any]) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, value, where, metadata)
    if origin is typing.Literal:
        if value not in arguments:
            raise UserError(f"{where} is {_shown(value)}; {nearest(str(value), [str(a) for a in arguments])}")
        return value
    if dataclasses.is_dataclass(hint):
        return from_data(typing.cast(type, hint), value, where)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        valid = {str(member.value): member for member in hint}
        if str(value) not in valid:
            raise UserError(f"{where} is {_shown(value)}; {nearest(str(value), valid)}")
        return valid[str(value)]
    if origin in (list, tuple):
        return _read_sequence(origin, arguments, value, where)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise UserError(f"{where} should hold named values but holds {_name_of(value)}.")
        return {str(key): _read(arguments[1], item, f"{where}, '{key}'", {}) for key, item in value.items()}
    return _read_scalar(hint, value, where, metadata)


def _read_union(arguments: tuple[Any, ...], value: Any, where: str, metadata: Mapping[str, Any]) -> Any:
    if value is None and type(None) in arguments:
        return None
    options = [argument for argument in arguments if argument is not type(None)]
    kinds = {option.kind: option for option in options if hasattr(option, "kind")}
    if isinstance(value, Mapping) and "kind" in value and kinds:
        # Judged as what it says it is; otherwise the sentence would be about the last option, whatever was meant.
        name = str(value["kind"])
        if name not in kinds:
            raise UserError(f"{where}, entry 'kind' is {_shown(value['kind'])}; {nearest(name, kinds)}")
        return _read(kinds[name], value, where, metadata)
    for option in options[:-1]:
        try:
            return _read(option, value, where, metadata)
        except UserError:
            continue
    return _read(options[-1], value, where, metadata)


def _read_sequence(origin: type, arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise UserError(f"{where} should be a list but is {_name_of(value)}.")
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise UserError(f"{where} should have {len(arguments)} values but has {len(value)}.")
        kinds = arguments
    else:
        kinds = (arguments[0],) * len(value)
    return origin(
        _read(kind, item, f"{where}, item {index + 1}", {})
        for index, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _read_scalar(hint: Any, value: Any, where: str, metadata: Mapping[str, Any]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and is_number and abs(value) <= sys.float_info.max:
        value = float(value)
    elif hint is int and is_number and (isinstance(value, int) or value.is_integer()):
        value = int(value)
    elif not (isinstance(value, hint) and isinstance(value, bool) == (hint is bool)):
        raise UserError(f"{where} should be {_WORDS.get(hint, hint.__name__)} but is {_shown(value)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where} should be a finite number but is {value!r}.")
    low, high = metadata.get("min"), metadata.get("max")
    if (low is not None and value < low) or (high is not None and value > high):
        raise UserError(f"{where} is {value!r}; allowed is {_span(low, high)}.")
    if "choices" in metadata and value not in metadata["choices"]:
        raise UserError(f"{where} is {_shown(value)}; allowed are {', '.join(map(repr, metadata['choices']))}.")
    return value


def _span(low: Any, high: Any) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _name_of(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {_shown(value)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
