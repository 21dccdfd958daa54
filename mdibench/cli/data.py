"""``mdibench data``: list, describe, verify and fetch data sets."""

from __future__ import annotations

from pathlib import Path

import click

from mdibench.cli import told_by

DATA_DIR = click.option("--data-dir", default=None, help="Folder of the data set's files.")


@click.group()
def data() -> None:
    """Fetch, verify and describe data sets."""


@data.command("list")
def list_data_sets() -> None:
    """Name every data set."""
    from mdibench.data.dataset import DATASETS, IMAGES

    for name, form in DATASETS.items():
        shape = " x ".join(map(str, form.shape))
        click.echo(f"{name:8} {form.classes} classes, {shape}: {form.meaning}")
    click.echo(f"{IMAGES}FOLDER: pictures of your own, decoded at the source (your-own-model.md)")


@data.command()
@click.argument("name")
@DATA_DIR
@click.option("--seed", default=0, show_default=True, help="Seed of the corruption.")
def describe(name: str, data_dir: str | None, seed: int) -> None:
    """Load data set NAME, check it, and count its items by split and class."""
    import numpy as np

    from mdibench.data.dataset import load_dataset

    with told_by({"model.dataset": "NAME", "model.data_dir": "--data-dir"}):
        loaded = load_dataset(name, data_dir, seed)
    for title in ("train", "calibration", "evaluation"):
        split = getattr(loaded, title)
        counts = np.bincount(split.labels, minlength=len(loaded.classes))
        by_class = ", ".join(f"{c} {n}" for c, n in zip(loaded.classes, counts, strict=True))
        click.echo(f"{title}: {len(split):,} items ({by_class})")


@data.command()
@click.argument("name", type=click.Choice(["cifar10"]), metavar="NAME")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to put it into; by default the user's cache.",
)
def fetch(name: str, to: Path | None) -> None:
    """Download data set NAME, verify its checksum and unpack it."""
    from mdibench.data.cifar10 import fetch_cifar10

    click.echo(str(fetch_cifar10(to)))
