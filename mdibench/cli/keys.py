"""``mdibench keys``: every key of a config as one commented TOML file.

Meaning, allowed values and default of each key. Generated from ``config.schema`` and the tables of
names, so that it cannot become outdated. Keys without a default and optional tables are commented
out; the rest is the default config. ``docs/config.md`` contains it.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import click
from pydantic.fields import FieldInfo

from mdibench.config.messages import choose, toml, type_in_words
from mdibench.config.network_keys import ConfigSection
from mdibench.config.schema import RunConfig
from mdibench.data.dataset import DATASETS
from mdibench.errors import Problem, UserError
from mdibench.network.devices import DEVICES, LINKS
from mdibench.network.topology import GENERATORS, TOPOLOGIES
from mdibench.policy.schemes import SCHEMES

COMMENT_WIDTH = 100
KNOWN_NAMES: Mapping[tuple[str, ...], Iterable[str]] = {
    ("scheme", "name"): SCHEMES,
    ("model", "dataset"): (*DATASETS, "images:FOLDER"),
    ("topology", "name"): (*TOPOLOGIES, "N-mesh", "N-circular", *GENERATORS),
    ("topology", "links", "profile"): LINKS,
    ("emulation", "device"): (*DEVICES, "real", "or one of emulation.devices"),
    ("emulation", "link"): LINKS,
}
"""Names that a key accepts."""
TABLE_HEADERS = {
    ("model", "pictures"): "[model.pictures]",
    ("topology", "links"): "[[topology.links]]",
    ("emulation", "devices"): "[emulation.devices.NAME]",
    ("events",): "[[events]]",
}
"""Keys that hold tables, and the header of one."""


@click.command()
@click.argument("section", required=False)
def keys(section: str | None) -> None:
    """Print every key of a config with its meaning, its range and its default, as TOML.

    The output is itself a config, the default one. SECTION limits it to one table, such as
    admission.
    """
    if section is not None and section not in sections():
        raise UserError(Problem("no such table in a config", section, choose(section, sections())))
    click.echo(reference(section))


def sections() -> list[str]:
    """The names of a config's tables, in their order."""
    return list(RunConfig.model_fields)


def reference(section: str | None = None) -> str:
    """The reference of one of ``sections()``, or of all of them, as TOML."""
    names = [section] if section else sections()
    return "\n\n".join("\n".join(_table((name,), RunConfig.model_fields[name])) for name in names)


def _table(path: tuple[str, ...], info: FieldInfo, mark: str = "") -> Iterator[str]:
    """The table at ``path`` with all its keys; ``mark`` is ``#`` inside an optional one."""
    kind = _section(info.annotation)
    mark = mark or ("" if isinstance(info.default, kind) else "#")
    yield from _comment(inspect.getdoc(kind) or "")
    if info.description:
        yield from _comment(info.description)
    yield mark + TABLE_HEADERS.get(path, f"[{'.'.join(path)}]")
    inner = []
    for key, field in kind.model_fields.items():
        if (*path, key) in TABLE_HEADERS:
            inner.append((key, field))
            continue
        yield ""
        yield from _comment(field.description or "")
        yield from _comment(_allowed((*path, key), field))
        yield _assignment(key, field, mark)
    for key, field in inner:
        yield ""
        yield from _table((*path, key), field, "#")


def _allowed(path: tuple[str, ...], field: FieldInfo) -> str:
    words = type_in_words(field.annotation, field.metadata)
    return f"{words}: {', '.join(KNOWN_NAMES[path])}" if path in KNOWN_NAMES else words


def _assignment(key: str, field: FieldInfo, mark: str) -> str:
    if field.is_required() or field.default is None:
        return f"{mark or '#'}{key} ="
    return f"{mark}{key} = {toml(field.default)}"


def _section(annotation: Any) -> type[ConfigSection]:
    """The section that an annotation is, or that its list, dict or union holds."""
    while not (isinstance(annotation, type) and issubclass(annotation, ConfigSection)):
        annotation = next(inner for inner in get_args(annotation) if inner is not str)
    return annotation


def _comment(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).replace("``", "").split("\n\n"):
        yield from textwrap.wrap(
            paragraph,
            COMMENT_WIDTH,
            initial_indent="# ",
            subsequent_indent="# ",
            break_on_hyphens=False,
        )
