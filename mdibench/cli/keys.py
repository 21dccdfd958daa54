"""``mdibench keys``: the reference of a config's keys."""

from __future__ import annotations

import click


@click.command()
@click.argument("section", required=False)
def keys(section: str | None) -> None:
    """Print every key of a config with its meaning, its range and its default, as TOML.

    The output is a config itself, the default one: a start for your own. SECTION limits it to
    one table, such as admission.
    """
    from mdibench.cli.keys_text import reference, sections
    from mdibench.config_words import choose
    from mdibench.errors import Problem, UserError

    if section is not None and section not in sections():
        raise UserError(Problem("no such table in a config", section, choose(section, sections())))
    click.echo(reference(section))
