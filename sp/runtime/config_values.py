"""One value of the configuration: from TOML or the environment into its field's type, and back to TOML."""

from __future__ import annotations

import json
import math
import re
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from sp.domain.errors import ConfigError

TRUE_WORDS: Final = frozenset({"true", "1", "yes", "on"})
FALSE_WORDS: Final = frozenset({"false", "0", "no", "off"})

URL_PASSWORD: Final = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*(?=@)")


class EnvironmentText(str):
    """Text from the environment: unlike a string in the file it may stand for a number, a bool or a list."""

    __slots__ = ()


def converted(value: object, kind: Any, where: str, dir: Path) -> object:
    """`value` as `kind`; ConfigError(where, ...) when it is none. dir: what a relative Path is relative to."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        if isinstance(value, EnvironmentText) and value == "":
            return None
        (inner,) = (option for option in get_args(kind) if option is not NoneType)
        return converted(value, inner, where, dir)
    if origin is tuple:
        item_kind = get_args(kind)[0]
        return tuple(converted(item, item_kind, where, dir) for item in _items(value, where))
    if origin is Literal:
        return _one_of(value, {choice: choice for choice in get_args(kind)}, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _one_of(value, {member.value: member for member in kind}, where)
    return _scalar(value, kind, where, dir)


def _scalar(value: object, kind: Any, where: str, dir: Path) -> object:
    if kind is str or kind is Path:
        if not isinstance(value, str):
            raise ConfigError(where, f"must be a string, not {_shown(value)}")
        return str(value) if kind is str else dir / value
    parsed = _from_text(value, kind, where) if isinstance(value, EnvironmentText) else value
    if kind is bool and isinstance(parsed, bool):
        return parsed
    if kind is int and isinstance(parsed, int) and not isinstance(parsed, bool):
        return parsed
    if kind is float and isinstance(parsed, int | float) and not isinstance(parsed, bool) and math.isfinite(parsed):
        return float(parsed)
    assert kind in (bool, int, float), f"{where}: a field of type {kind} cannot be configured"
    raise ConfigError(where, f"must be {_NAMES[kind]}, not {_shown(value)}")


_NAMES: Final = {bool: "true or false", int: "a whole number", float: "a finite number"}


def _from_text(text: EnvironmentText, kind: Any, where: str) -> object:
    word = text.strip()
    if kind is bool:
        if word.lower() not in TRUE_WORDS | FALSE_WORDS:
            raise ConfigError(where, f"must be {_NAMES[bool]}, not {_shown(text)}")
        return word.lower() in TRUE_WORDS
    try:
        return kind(word)
    except ValueError as error:
        raise ConfigError(where, f"must be {_NAMES[kind]}, not {_shown(text)}") from error


def _items(value: object, where: str) -> list[object]:
    if isinstance(value, EnvironmentText):
        return [EnvironmentText(item.strip()) for item in value.split(",") if item.strip()]
    if isinstance(value, list | tuple):
        return list(value)
    raise ConfigError(where, f"must be a list, not {_shown(value)}")


def _one_of(value: object, choices: dict[str, object], where: str) -> object:
    if isinstance(value, str) and value in choices:
        return choices[str(value)]
    raise ConfigError(where, f"must be one of {', '.join(map(str, choices))}, not {_shown(value)}")


def _shown(value: object) -> str:
    return f"{type(value).__name__} {str(value)[:60]!r}" if not isinstance(value, str) else repr(str(value)[:60])


def toml_literal(value: object) -> str:
    """A converted value as TOML writes it."""
    if isinstance(value, Enum):
        return toml_literal(value.value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(toml_literal(item) for item in value)}]"
    if isinstance(value, str | Path):
        # JSON's string escapes are TOML's, but for DEL, which TOML wants escaped too.
        return json.dumps(URL_PASSWORD.sub(r"\1:***", str(value)), ensure_ascii=False).replace("\x7f", "\\u007f")
    assert isinstance(value, int | float), f"{value!r} cannot be configured"
    return repr(value)
