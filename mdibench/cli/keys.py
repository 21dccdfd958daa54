"""``mdibench keys``: the reference of a config's keys."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import click
from pydantic.fields import FieldInfo

from mdibench.config.messages import toml, type_in_words
from mdibench.config.schema import ConfigSection, RunConfig
from mdibench.data.registry import DATASETS
from mdibench.network.devices import DEVICES, LINKS
from mdibench.network.topology import GENERATORS, TOPOLOGIES
from mdibench.policy.schemes import SCHEMES


@click.command()
@click.argument("section", required=False)
def keys(section: str | None) -> None:
    """Print every key of a config with its meaning, its range and its default, as TOML.

    The output is a config itself, the default one: a start for your own. SECTION limits it to
    one table, such as admission.
    """
    from mdibench.config.messages import choose
    from mdibench.errors import Problem, UserError

    if section is not None and section not in sections():
        raise UserError(Problem("no such table in a config", section, choose(section, sections())))
    click.echo(reference(section))


# --- keys text ---------------------------------------------------------------------------------
# Every key of a config as one commented TOML file: what it means, may hold, and holds by default.
#
# Made from ``mdibench.config`` and the tables of names, so that it cannot fall behind. Keys without
# a default and optional tables are commented out; what is left is the default config, spelled out.

WIDTH = 100
KNOWN: Mapping[tuple[str, ...], Iterable[str]] = {
    ("scheme", "name"): SCHEMES,
    ("model", "dataset"): DATASETS,
    ("topology", "name"): (*TOPOLOGIES, "N-mesh", "N-circular", *GENERATORS),
    ("topology", "links", "profile"): LINKS,
    ("emulation", "device"): (*DEVICES, "real", "or one of emulation.devices"),
    ("emulation", "link"): LINKS,
}
"""Names that a key's text may be."""
TABLES = {
    ("topology", "links"): "[[topology.links]]",
    ("emulation", "devices"): "[emulation.devices.NAME]",
    ("events",): "[[events]]",
}
"""Keys that hold tables, and the header of one."""


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
    yield mark + TABLES.get(path, f"[{'.'.join(path)}]")
    inner = []
    for key, field in kind.model_fields.items():
        if (*path, key) in TABLES:
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
    return f"{words}: {', '.join(KNOWN[path])}" if path in KNOWN else words


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
            paragraph, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
