"""``mdibench profile``: measure a network's blocks here and record the outputs of its exits."""

from __future__ import annotations

from pathlib import Path

import click

from mdibench.cli.init import complete_config

DEFAULT_BATCHES = "1,2,4,8,16"


def _batches(context: click.Context, option: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        sizes = {int(part) for part in text.split(",")}
    except ValueError as failure:
        raise click.BadParameter("give whole numbers, as 1,4,16") from failure
    if min(sizes) < 1:
        raise click.BadParameter("a batch holds at least one item")
    return tuple(sorted(sizes | {1}))


@click.command()
@click.argument("config", type=click.Path(path_type=Path), shell_complete=complete_config)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write; by default profiles/NETWORK-HOST.",
)
@click.option(
    "--batches",
    default=DEFAULT_BATCHES,
    show_default=True,
    callback=_batches,
    help="Batch sizes to time.",
)
@click.option(
    "--repeats", type=click.IntRange(min=5), default=50, show_default=True, help="Calls per time."
)
@click.option("--items", type=click.IntRange(min=1), help="Evaluation items; by default all.")
def profile(
    config: Path,
    overrides: tuple[str, ...],
    out: Path | None,
    batches: tuple[int, ...],
    repeats: int,
    items: int | None,
) -> None:
    """Measure the network of CONFIG block by block, and record every exit's confidences.

    Writes profile.json and exits.parquet: what the balanced partition, emulated devices and the
    simulator can read. Uses run.threads torch threads, 1 by default.
    """
    from mdibench.config.reading import load_config
    from mdibench.training.profiling import measure_and_write

    loaded = load_config(config, overrides)
    click.echo(measure_and_write(loaded, out, batches, repeats, items), nl=False)
