"""``mdibench init`` and ``mdibench presets``: a config to start from.

Also what ``mdibench run`` offers on a terminal where no config is named.
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import fill

import click
from click.shell_completion import CompletionItem

from mdibench.config.presets import DEFAULT, PRESETS, Preset, preset_named
from mdibench.errors import Problem, UserError, say
from mdibench.report import TEXT_WIDTH


def complete_preset(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """For the shell: the presets that begin with ``incomplete``."""
    return [
        CompletionItem(preset.name, help=preset.meaning)
        for preset in PRESETS.values()
        if preset.name.startswith(incomplete)
    ]


def complete_config(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """For the shell: presets, then files."""
    presets = complete_preset(ctx, param, incomplete)
    return [*presets, CompletionItem(incomplete, type="file")]


@click.command()
@click.argument("preset", default=DEFAULT, shell_complete=complete_preset)
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="File to write.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def init(preset: str, to: Path | None, force: bool) -> None:
    """Write a commented config to start from, PRESET.toml in this folder.

    PRESET is one of `mdibench presets`; without it, the config of a first run.
    """
    chosen = preset_named(preset)
    path = to or Path(chosen.file_name)
    text = chosen.path.read_text(encoding="utf-8")
    write_config(path, text.replace(chosen.file_name, str(path)), force)
    say(f"wrote {path}: {chosen.meaning}")
    click.echo(f"to run it: {chosen.command.replace(chosen.file_name, str(path))}")


def write_config(path: Path, text: str, force: bool) -> None:
    """Write a new file; ``UserError`` where there is one already, unless with ``force``."""
    if path.is_dir():
        raise UserError(Problem("this is a folder", str(path), "give a file with --to"))
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        remedy = "keep it, name another with --to FILE, or overwrite it with --force"
        raise UserError(Problem("is there already", str(path), remedy)) from None
    except OSError as failure:
        remedy = "" if path.parent.is_dir() else f'make the folder "{path.parent}" first'
        what = f"cannot be written: {failure.strerror}"
        raise UserError(Problem(what, str(path), remedy)) from None


@click.command()
def presets() -> None:
    """List the configs that ship with mdibench, and the command that starts each."""
    width = max(map(len, PRESETS))
    for preset in PRESETS.values():
        first = " (the default)" if preset.name == DEFAULT else ""
        lines = fill(preset.meaning + first, TEXT_WIDTH - width - 2).splitlines()
        click.echo(f"{preset.name:<{width}}  {lines[0]}")
        for line in lines[1:]:
            click.echo(f"{'':<{width}}  {line}")
        click.echo(f"{'':<{width}}  mdibench init {preset.name} && {preset.command}")


def offer() -> Preset | None:
    """Ask on the terminal which preset to run; ``None`` where nobody can answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    names = list(PRESETS)
    for number, preset in enumerate(PRESETS.values(), 1):
        click.echo(f"  {number}  {preset.name:<10}  {preset.meaning}", err=True)
    answer = click.prompt(
        "Which one? A number or a name; your own config is `mdibench run FILE`",
        default="1",
        show_default=True,
        err=True,
        value_proc=lambda text: _answered(text, names),
    )
    return PRESETS[answer]


def _answered(text: str, names: list[str]) -> str:
    if text.isdigit() and 1 <= int(text) <= len(names):
        return names[int(text) - 1]
    try:
        return preset_named(text.strip()).name
    except UserError as failure:
        raise click.UsageError(str(failure)) from None
