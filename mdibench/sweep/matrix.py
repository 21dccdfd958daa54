"""The cells of a sweep: every combination of its axes, as overrides of one config.

Pure: a config's text goes in; checked cells come out, or all mistakes at once. Nothing is run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from random import Random
from typing import Any

from mdibench.config.messages import toml
from mdibench.config.origins import dotted
from mdibench.config.reading import parse_config, resolved
from mdibench.config.schema import RunConfig, SweepSection
from mdibench.errors import Problem, UserError
from mdibench.network.planning import usual_ranks

LARGEST = 10_000
"""Largest number of cells: more would take weeks and are taken for a mistake."""
RESERVED = ("label", "ranks")
"""Keys of a value's table that are not config keys."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of an axis: the config keys it sets, and the world size where it needs one."""

    label: str
    ranks: int | None
    keys: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SweepAxis:
    """A named list of settings; ``where`` is its place in the file, for messages."""

    name: str
    where: str
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One config of the matrix. ``label`` is unique; ``overrides`` are ``key=value`` texts."""

    label: str
    ranks: int
    overrides: tuple[str, ...]
    config: RunConfig = field(compare=False)

    @property
    def name(self) -> str:
        """The label as the name of a folder."""
        return folder_name(self.label)

    @property
    def emulated(self) -> bool:
        """Whether its devices are emulated: ranks mostly sleep, so cells can run in parallel."""
        emulation = self.config.emulation
        return emulation is not None and emulation.device is not None


@dataclass(frozen=True, slots=True)
class Matrix:
    """The cells of a sweep. ``digest`` changes with every key of the base config."""

    base: RunConfig
    sweep: SweepSection
    cells: tuple[Cell, ...]
    digest: str


def read_matrix(text: str, where: str, overrides: Sequence[str] = ()) -> Matrix:
    """The matrix that the config in ``text`` describes, with ``overrides`` in every cell.

    Raises UserError with every problem of the base and of any cell, each once.
    """
    base = parse_config(text, where, overrides)
    if base.sweep is None:
        remedy = 'add [sweep.axes] with lists of values, as "scheme.name" = ["local", "mdi-exit"]'
        raise UserError(Problem("there is no [sweep] in this config", where, remedy))
    problems: list[Problem] = []
    axes = _axes(base, problems)
    if not problems:
        cells = list(_cells(text, where, overrides, base, axes, problems))
        _check_labels(cells, problems)
    if problems:
        raise UserError(*dict.fromkeys(problems))
    return Matrix(base, base.sweep, tuple(cells), _digest(base))


def shuffled_cells(matrix: Matrix, repeat: int) -> list[Cell]:
    """The cells in the order of ``repeat`` (from 1): shuffled, the same at every call."""
    cells = list(matrix.cells)
    Random(f"{matrix.sweep.seed}/{repeat}").shuffle(cells)
    return cells


def folder_name(label: str) -> str:
    """A cell's label as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9+.]+", "-", label).strip("-.") or "cell"


# --- axes --------------------------------------------------------------------------------------


def _axes(base: RunConfig, problems: list[Problem]) -> list[SweepAxis]:
    assert base.sweep is not None
    if not base.sweep.axes:
        remedy = 'give lists of values, as "scheme.name" = ["local", "mdi-exit"]'
        problems.append(Problem("there are no axes", base.where("sweep"), remedy))
    axes = []
    for path, values in _lists(base.sweep.axes, ()):
        where = base.where("sweep", "axes", *path)
        name = dotted(path) if len(path) > 1 else path[0]
        if not isinstance(values, list) or not values:
            what = "this axis has no values" if values == [] else "an axis is a list of values"
            problems.append(Problem(what, where, "give a list with one value or more"))
        else:
            settings = (_setting(name, value, where, problems) for value in values)
            axes.append(SweepAxis(name, where, tuple(settings)))
    if prod(len(axis.settings) for axis in axes) > LARGEST:
        problems.append(Problem(f"more than {LARGEST} cells", base.where("sweep"), "give fewer"))
    _check_shared_keys(axes, problems)
    return axes


def _lists(
    table: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every list below a table: ``scheme.name`` may be written with or without quotes."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _lists(value, (*path, key))
        else:
            yield (*path, key), value


def _setting(name: str, value: Any, where: str, problems: list[Problem]) -> Setting:
    if name == "ranks":
        value = {"ranks": value, "label": f"{value} ranks"}
    if not isinstance(value, dict):
        if "." not in name:
            remedy = f'name a key, as "scheme.name", or give tables, as {{"scheme.{name}" = ...}}'
            problems.append(Problem(f'"{name}" is not a config key', where, remedy))
        return Setting(_shown(value), None, {name: value})
    keys = {dotted(path): below for path, below in _leaves(value, ()) if path[0] not in RESERVED}
    ranks = value.get("ranks")
    if ranks is not None and not (type(ranks) is int and ranks >= 1):
        problems.append(Problem(f"ranks = {ranks}", where, "give a whole number from 1"))
    label = value.get("label") or " ".join(_shown(below) for below in keys.values())
    return Setting(str(label), ranks, keys)


def _leaves(
    table: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Keys of a value's table: ``{"scheme.name" = "mdi"}`` and ``{scheme.name = "mdi"}`` alike."""
    for key, value in table.items():
        below = (*path, *key.split("."))
        if isinstance(value, dict) and below[0] not in RESERVED and len(below) < 2:
            yield from _leaves(value, below)
        else:
            yield below, value


def _check_shared_keys(axes: Sequence[SweepAxis], problems: list[Problem]) -> None:
    """A key that two axes set would take the value of one of them without notice."""
    owners: dict[str, SweepAxis] = {}
    for axis in axes:
        for key in dict.fromkeys(key for setting in axis.settings for key in setting.keys):
            if key in owners:
                what = f'"{key}" is set by the axis "{owners[key].name}" too'
                problems.append(Problem(what, axis.where, "let one axis set a key"))
            owners.setdefault(key, axis)


# --- cells -------------------------------------------------------------------------------------


def _cells(
    text: str,
    where: str,
    overrides: Sequence[str],
    base: RunConfig,
    axes: Sequence[SweepAxis],
    problems: list[Problem],
) -> Iterator[Cell]:
    owner = {key: axis.where for axis in axes for s in axis.settings for key in s.keys}
    for settings in product(*(axis.settings for axis in axes)):
        label = ", ".join(setting.label for setting in settings)
        own = tuple(
            f"{key}={toml(value)}" for setting in settings for key, value in setting.keys.items()
        )
        own = (*overrides, *own, f"run.label={toml(label)}")
        try:
            config = parse_config(text, where, own)
        except UserError as error:
            problems += [_located_at_axis(problem, owner) for problem in error.problems]
            continue
        ranks = next((s.ranks for s in settings if s.ranks), None) or _world(base, config)
        if ranks is None:
            what = f'how many ranks does "{label}" need?'
            problems.append(Problem(what, base.where("sweep"), "give ranks = N in [sweep]"))
            continue
        yield Cell(label, ranks, own, config)


def _world(base: RunConfig, config: RunConfig) -> int | None:
    assert base.sweep is not None
    return base.sweep.ranks or usual_ranks(config)


def _located_at_axis(problem: Problem, owner: Mapping[str, str]) -> Problem:
    """``problem`` with the axis in place of an override: the user wrote the value there."""
    where = owner.get(problem.where.removeprefix("--set "), problem.where)
    return Problem(problem.what, where, problem.remedy)


def _check_labels(cells: Sequence[Cell], problems: list[Problem]) -> None:
    seen: set[str] = set()
    for cell in cells:
        if cell.name in seen:
            remedy = "give values that differ, or a label each"
            problems.append(Problem(f'two cells are called "{cell.label}"', "sweep.axes", remedy))
        seen.add(cell.name)


def _digest(base: RunConfig) -> str:
    """A hash of everything that all cells share, except the place of the files."""
    facts = resolved(base)
    facts["run"].pop("results")
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else toml(value)
