"""Messages about a config: what a key may hold, and what is wrong with a value.

``mistakes`` turns pydantic's validation errors into one ``Mistake`` each, in plain words;
``type_in_words`` describes a type with its limits, for messages and for ``mdibench keys``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tomli_w
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mdibench.config.network_keys import LARGEST, ConfigSection
from mdibench.config.origins import KeyPath
from mdibench.config.schema import RunConfig

RANGE_ERRORS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
LONGEST_VALUE = 40


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake at ``path``; ``others`` are further keys involved."""

    path: KeyPath
    what: str
    remedy: str
    others: tuple[KeyPath, ...] = ()


def mistakes(error: ValidationError, data: Mapping[str, Any]) -> list[Mistake]:
    """One ``Mistake`` for each; pydantic reports every branch of a union separately."""
    found: list[Mistake] = []
    reported: set[KeyPath] = set()
    for details in error.errors(include_url=False, include_context=False):
        path, union = _locate(details, data)
        if union is not None:
            value = _value_at(data, union)
            of_a_list = any(str(part).startswith("list[") for part in details["loc"])
            if of_a_list != isinstance(value, list) or (not of_a_list and union in reported):
                continue
            reported.add(union)
        found.append(_mistake(details["type"], path, union or path, details["input"]))
    return found


def choose(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown ``name``: the nearest of ``known``, else all of them."""
    known = list(known)
    return near_miss(name, known) or f"known: {', '.join(known)}"


def near_miss(name: str, known: Iterable[str]) -> str:
    """The question after the nearest of ``known``; empty where none is near."""
    near = get_close_matches(name, list(known), n=1)
    return f'did you mean "{near[0]}"?' if near else ""


def shown(value: object) -> str:
    """A value as it would look in the file, cut if it is long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def toml(value: Any) -> str:
    """``value`` as TOML in one line; tomli-w alone would give each element of a list its own."""
    if isinstance(value, dict):
        inside = ", ".join(f"{toml(key)} = {toml(below)}" for key, below in value.items())
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[{', '.join(toml(below) for below in value)}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").removesuffix("\n")


def expected(path: KeyPath) -> str:
    """What the key at ``path`` may hold, such as ``a number from 0 to 1``; empty if unknown."""
    place = _annotation_at(path)
    return type_in_words(*place) if place else ""


def type_in_words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """A type with its limits in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_in_words(arguments[0], [*_flat(arguments[1:]), *metadata])
    if origin in (Union, UnionType):
        branches = [branch for branch in arguments if branch is not type(None)]
        words = [type_in_words(branch, metadata) for branch in branches]
        return ", or ".join(words).replace(f"a list, each {words[0]}", "a list of such")
    if origin is Literal:
        return "one of " + ", ".join(f'"{name}"' for name in arguments)
    if origin is list or Ellipsis in arguments:
        return f"a list, each {type_in_words(arguments[0])}"
    if origin is tuple:
        return "two ranks, like [0, 1]"
    if annotation is str and _limits(metadata).get("pattern"):
        return "a text of letters, digits, dots, dashes and underscores only"
    kinds = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return kinds.get(annotation, "a table") + _range(_limits(metadata))


def _mistake(kind: str, path: KeyPath, whole: KeyPath, value: object) -> Mistake:
    if kind == "extra_forbidden":
        return _unknown_key(path, value)
    if kind == "missing" and isinstance(path[-1], int):
        path = whole = path[:-1]
    elif kind == "missing":
        return Mistake(path, "this key is missing", f"give {expected(path)}")
    if kind == "literal_error":
        allowed = _literals(path)
        remedy = f"{near_miss(str(value), allowed)} allowed: {', '.join(allowed)}".lstrip()
        return Mistake(path, f"{shown(value)} is not known", remedy)
    what = "is out of range" if kind in RANGE_ERRORS else "does not fit here"
    most = f", and at most {LARGEST}" if isinstance(value, int) and value > LARGEST else ""
    return Mistake(path, f"{shown(value)} {what}", f"give {expected(whole)}{most}")


def _unknown_key(path: KeyPath, value: object) -> Mistake:
    name = str(path[-1])
    kind = "section" if len(path) == 1 and isinstance(value, (dict, list)) else "key"
    siblings = _fields_at(path[:-1])
    homes = [section for section in _fields_at(()) if name in _fields_at((section,))]
    if homes and not near_miss(name, siblings):
        return Mistake(path, f"unknown {kind}", f"it belongs to [{homes[0]}]")
    return Mistake(path, f"unknown {kind}", choose(name, siblings))


def _locate(details: ErrorDetails, data: Any) -> tuple[KeyPath, KeyPath | None]:
    """The path in the data without pydantic's type names, and the path of the union around it."""
    path: KeyPath = ()
    union: KeyPath | None = None
    current = data
    for position, part in enumerate(details["loc"]):
        if _holds(current, part):
            current = current[part]
            path = (*path, part)
        elif details["type"] == "missing" and position == len(details["loc"]) - 1:
            path = (*path, part)
        elif union is None:
            union = path
    return path, union


def _holds(value: object, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _value_at(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data[part]
    return data


def _annotation_at(path: KeyPath) -> tuple[Any, list[Any]] | None:
    """Type and limits of the key at ``path``; None if the config has no such key."""
    place: tuple[Any, list[Any]] = (RunConfig, [])
    for part in path:
        step = next((s for s in (_step(b, part) for b in _branches(place[0])) if s), None)
        if step is None:
            return None
        place = step
    return place


def _branches(annotation: Any) -> list[Any]:
    """The types that an annotation stands for, without ``None`` and without limits."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _branches(arguments[0])
    if origin in (Union, UnionType):
        return [b for a in arguments if a is not type(None) for b in _branches(a)]
    return [annotation]


def _step(annotation: Any, part: str | int) -> tuple[Any, list[Any]] | None:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict and isinstance(part, str):
        return arguments[1], []
    if origin in (list, tuple) and isinstance(part, int):
        return arguments[0], []
    if isinstance(annotation, type) and issubclass(annotation, ConfigSection):
        info = annotation.model_fields.get(str(part))
        return (info.annotation, list(info.metadata)) if info else None
    return None


def _fields_at(path: KeyPath) -> list[str]:
    place = _annotation_at(path)
    for branch in _branches(place[0]) if place else ():
        if isinstance(branch, type) and issubclass(branch, ConfigSection):
            return list(branch.model_fields)
    return []


def _literals(path: KeyPath) -> list[str]:
    place = _annotation_at(path)
    branches = _branches(place[0]) if place else []
    return [name for branch in branches for name in get_args(branch) if isinstance(name, str)]


def _flat(metadata: Iterable[Any]) -> list[Any]:
    flat: list[Any] = []
    for limit in metadata:
        flat += limit.metadata if isinstance(limit, FieldInfo) else [limit]
    return flat


def _limits(metadata: Iterable[Any]) -> dict[str, Any]:
    names = ("ge", "gt", "le", "lt", "pattern")
    return {n: getattr(m, n) for m in metadata for n in names if getattr(m, n, None) is not None}


def _range(limits: Mapping[str, Any]) -> str:
    low = limits.get("ge", limits.get("gt"))
    high = limits.get("le", limits.get("lt"))
    high = None if high == LARGEST else high
    if low is None:
        return ""
    if high is None:
        return f" of at least {low}" if "ge" in limits else f" above {low}"
    start = f"from {low}" if "ge" in limits else f"from above {low}"
    return f" {start} {'to' if 'le' in limits else 'to below'} {high}"
