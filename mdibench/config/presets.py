"""The configs that ship with the package: named, described, and found by their names.

``presets/NAME.toml`` are copies of ``bench_configs/NAME.toml``, without that folder in the commands
of their comments; a test compares them. This module imports nothing heavy: ``mdibench presets``,
shell completion and every reading of a config use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdibench.errors import Problem, UserError

FOLDER = Path(__file__).with_name("presets")


@dataclass(frozen=True, slots=True)
class Preset:
    """A packaged config. ``command`` starts the file that ``mdibench init`` makes of it."""

    name: str
    meaning: str
    command: str

    @property
    def path(self) -> Path:
        """The packaged file."""
        return FOLDER / self.file_name

    @property
    def file_name(self) -> str:
        """The name of the file that ``mdibench init`` writes."""
        return f"{self.name}.toml"


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "fixed_acc",
            "a first run: exits stay as strict as they are, the rate rises until queues grow",
            "mdibench run fixed_acc.toml --ranks 4 --tui",
        ),
        Preset(
            "fixed_rate",
            "items arrive at a fixed rate, and exits become as strict as the queues allow",
            "mdibench run fixed_rate.toml --ranks 4 --tui",
        ),
        Preset(
            "boards",
            "your own boards: several hosts from a hostfile, settings for a real network",
            "mdibench run boards.toml --ranks 5 --hostfile hosts --tui",
        ),
        Preset(
            "fleet",
            "a hundred workers in virtual time, with load steps and failures",
            "mdibench simulate fleet.toml --workers 100",
        ),
        Preset(
            "smoke",
            "three seconds that show whether everything works; its figures mean nothing",
            "mdibench run smoke.toml --ranks 4",
        ),
    )
}
DEFAULT = "fixed_acc"
SYNONYMS = {"first_run": "fixed_acc", "fixed_accuracy": "fixed_acc", "own_boards": "boards"}


def preset_named(name: str) -> Preset:
    """The preset ``name``; hyphens and case do not matter. ``UserError`` with a near miss."""
    plain = _plain(name)
    if plain in PRESETS:
        return PRESETS[plain]
    raise UserError(Problem("there is no such preset", name, _nearest(plain)))


def located(path: Path) -> Path:
    """The file of a config: ``path`` itself, or the packaged one where it names a preset.

    A file of that name comes first. ``UserError`` where a bare word is neither.
    """
    if _may_exist(path) or path.parent != Path() or not path.name:
        return path
    name = _plain(path.stem)
    if not path.suffix:
        if name in PRESETS:
            return PRESETS[name].path
        raise UserError(Problem("no such file, and no preset", str(path), _nearest(name)))
    if path.suffix == ".toml" and name in PRESETS:
        remedy = (
            f"`mdibench init {name}` writes one, `mdibench run {name}` runs the preset as it is"
        )
        raise UserError(Problem("no such file", str(path), remedy))
    return path


def _plain(name: str) -> str:
    plain = name.lower().replace("-", "_")
    return SYNONYMS.get(plain, plain)


def _nearest(name: str) -> str:
    from mdibench.config.messages import choose

    return choose(name, PRESETS)


def _may_exist(path: Path) -> bool:
    """Whether a file is there, or cannot be there by its name: its reader says that."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return True
