"""Reading of config files: from TOML and overrides to a ``RunConfig``, or to all mistakes at once.

``read_config`` opens the file and the files of the run that it names, each once. In a run the
source's rank does so; every other rank parses the same text, and its host needs no file.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli
from pydantic import ValidationError

from mdibench.config.checks import contradictions
from mdibench.config.messages import Mistake, mistakes
from mdibench.config.origins import KeyPath, Origins, key_lines
from mdibench.config.presets import located
from mdibench.config.schema import ALTERNATIVES, RunConfig
from mdibench.errors import Problem, UserError

LARGEST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A config with the text it was read from, and the arrival times of its trace file, if any."""

    text: str
    config: RunConfig
    arrivals_s: Sequence[float] = ()


def read_config(path: Path, overrides: Sequence[str] = ()) -> ConfigFile:
    """The config in the file ``path``, with ``section.key=value`` overrides applied.

    ``path`` may be the name of a preset. Raises UserError with all problems at once, each with
    file, line and key.
    """
    path = located(path)
    text = read_text(path)
    config = parse_config(text, str(path), overrides)
    trace = config.admission.trace_file
    where = config.where("admission", "trace_file")
    return ConfigFile(text, config, () if trace is None else read_trace(Path(trace), where))


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """The config of ``read_config`` alone."""
    return read_config(path, overrides).config


def parse_config(text: str, where: str, overrides: Sequence[str] = ()) -> RunConfig:
    """The config that ``text`` holds; ``where`` is the name of its file, for messages.

    An override's value is TOML, or a text if it is not TOML: ``scheme.name=mdi`` and
    ``scheme.threshold=[0.7, 0.8]``. It replaces keys of the file that exclude it. Reads no file.
    """
    data, lines = _read_toml(text, where)
    written, problems = _apply_overrides(data, overrides)
    origins = Origins(where, lines, written)
    config, found = _validated(data)
    found.sort(key=lambda finding: origins.line(finding.path))
    problems += [Problem(f.what, _where(f, origins), f.remedy) for f in found]
    if problems:
        raise UserError(*problems)
    return config.with_origins(origins)


def noted(text: str, overrides: Sequence[str]) -> str:
    """A config's text as a run stores it: with the overrides in a comment at the top."""
    if not overrides:
        return text
    options = shlex.join(f"--set={override}" for override in overrides)
    return f"# overrides of this file: {' '.join(options.splitlines())}\n{text}"


def read_text(path: Path, kind: str = "config") -> str:
    """A file's text (UTF-8, with or without a byte order mark); raises UserError."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= LARGEST_BYTES else None
    except FileNotFoundError:
        raise UserError(Problem("no such file", str(path), f"give the {kind}'s path")) from None
    except IsADirectoryError:
        raise UserError(Problem("this is a folder", str(path), f"give a {kind} in it")) from None
    except (OSError, ValueError) as failure:
        reason = getattr(failure, "strerror", None) or str(failure)
        raise UserError(Problem(f"cannot be read: {reason.lower()}", str(path))) from None
    if raw is None:
        raise UserError(Problem(f"too large for a {kind}", str(path), "at most 4 MiB are read"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = raw[: failure.start].count(b"\n") + 1
        raise UserError(
            Problem("not UTF-8 text", f"{path}:{line}", f"is this really a {kind}?")
        ) from None


def read_trace(path: Path, key: str = "admission.trace_file") -> list[float]:
    """Arrival times in seconds, one per line, in ascending order; ``#`` starts a comment.

    ``key`` is the key that names the file, for messages.
    """
    if not path.is_file():
        raise UserError(Problem(f'no such file: "{path}"', key, "one arrival time per line"))
    times: list[float] = []
    problems: list[Problem] = []
    for number, line in enumerate(read_text(path, "trace").splitlines(), 1):
        written = line.partition("#")[0].strip()
        try:
            times += [_arrival(written, times[-1] if times else 0.0)] if written else []
        except ValueError as failure:
            remedy = "give ascending seconds, one number per line"
            problems.append(Problem(str(failure), f"{path}:{number}", remedy))
    if not problems and not (times and times[-1] > 0):
        problems.append(Problem("no arrival after 0 s", str(path), "give at least one"))
    if problems:
        raise UserError(*problems)
    return times


def resolved(config: RunConfig) -> dict[str, Any]:
    """The config as JSON-able data with all defaults, for a run's manifest."""
    data = config.model_dump(mode="json", exclude={"sweep"})
    placement, topology = data["placement"], data["topology"]
    if not config.scheme.calibrated:
        data["scheme"]["threshold"] = config.scheme.start_threshold
    if not any(placement.values()):
        placement["partition"] = True
    if topology["name"] is None and topology["edges"] is None:
        topology["name"] = "full"
    return data


def _read_toml(text: str, where: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        return tomli.loads(text), key_lines(text)
    except tomli.TOMLDecodeError as failure:
        place = f"{where}:{failure.lineno}:{failure.colno}"
        remedy = 'lines read key = value, with texts in "quotes"'
        raise UserError(Problem(f"not TOML: {failure.msg.lower()}", place, remedy)) from None
    except (RecursionError, ValueError) as failure:
        reason = (
            "nested too deep" if isinstance(failure, RecursionError) else "a number is too long"
        )
        raise UserError(Problem(f"not a config: {reason}", where)) from None


def _apply_overrides(
    data: dict[str, Any], overrides: Sequence[str]
) -> tuple[dict[KeyPath, str], list[Problem]]:
    """Put overrides into ``data``; returns path -> option for messages, and the problems."""
    parsed: dict[KeyPath, tuple[str, Any]] = {}
    problems: list[Problem] = []
    for override in overrides:
        key, equals, value = override.partition("=")
        path = _key_path(key) if equals else None
        if path is None:
            problems.append(
                Problem("not of the form section.key=value", f"--set {override}", "e.g. run.seed=2")
            )
        else:
            parsed[path] = (f"--set {key.strip()}", _override_value(value))
    _drop_alternatives(data, set(parsed))
    for path, (option, value) in parsed.items():
        if not _put(data, path, value):
            problems.append(Problem("goes through a value that is not a table", option))
    return {path: option for path, (option, _) in parsed.items()}, problems


def _key_path(key: str) -> KeyPath | None:
    """The path of a dotted key; None if it is not a TOML key."""
    try:
        node: Any = tomli.loads(f"{key} = 0") if "\n" not in key else {}
    except (ValueError, RecursionError):
        return None
    path: KeyPath = ()
    while isinstance(node, dict) and len(node) == 1:
        name, node = next(iter(node.items()))
        path = (*path, name)
    return path if len(path) > 1 else None


def _override_value(text: str) -> Any:
    """The value of a TOML text; the text itself if it is not TOML."""
    try:
        value = tomli.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text.strip()
    return value["value"] if len(value) == 1 else text.strip()


def _drop_alternatives(data: dict[str, Any], given: set[KeyPath]) -> None:
    for group in ALTERNATIVES:
        if given.intersection(group):
            for section, key in group:
                table = data.get(str(section))
                if isinstance(table, dict):
                    table.pop(str(key), None)


def _put(data: dict[str, Any], path: KeyPath, value: Any) -> bool:
    node: Any = data
    for part in path[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            return False
    node[path[-1]] = value
    return True


def _validated(data: dict[str, Any]) -> tuple[RunConfig, list[Mistake]]:
    """A config without the wrong values, and all mistakes.

    Removes wrong values and validates the rest again, so that all mistakes are found at once.
    """
    found: list[Mistake] = []
    while True:
        try:
            config = RunConfig.model_validate(data)
        except ValidationError as error:
            new = mistakes(error, data)
            for finding in new:
                _prune(data, finding.path)
            found += new
        else:
            wrong = [finding.path for finding in found]
            return config, found + [f for f in contradictions(config) if not _touches(f, wrong)]


def _prune(data: dict[str, Any], path: KeyPath) -> None:
    """Remove the value at ``path``: the whole list of an element, the table of a missing key."""
    keys = [part for part in path[: _first_index(path)] if isinstance(part, str)]
    node: Any = data
    for key in keys[:-1]:
        node = node.get(key, {})
    if keys[-1] in node:
        del node[keys[-1]]
    elif len(keys) > 1:
        _prune(data, path[: len(keys) - 1])


def _first_index(path: KeyPath) -> int:
    return next((i for i, part in enumerate(path) if isinstance(part, int)), len(path))


def _touches(finding: Mistake, wrong: list[KeyPath]) -> bool:
    paths = (finding.path, *finding.others)
    return any(p[: len(w)] == w or w[: len(p)] == p for p in paths for w in wrong)


def _where(finding: Mistake, origins: Origins) -> str:
    """The place of the first of its keys that was written."""
    written = (p for p in (finding.path, *finding.others) if p in origins.overrides)
    path = next(written, None) or next(
        (p for p in (finding.path, *finding.others) if p in origins.lines), finding.path
    )
    return origins.where(path)


def _arrival(text: str, previous: float) -> float:
    """One arrival time; raises ValueError with the reason if it is invalid."""
    try:
        time_s = float(text)
    except ValueError:
        raise ValueError(f'"{text[:40]}" is not a number') from None
    if not math.isfinite(time_s) or time_s < 0:
        raise ValueError(f"{text} is not a time")
    if time_s < previous:
        raise ValueError(f"{text} is before the previous time, {previous:g}")
    return time_s
