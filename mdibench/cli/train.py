"""``mdibench train`` and ``profile``: weights and a model card; block times and recorded exits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mdibench.cli import told_by
from mdibench.cli.init import complete_config

if TYPE_CHECKING:
    from mdibench.config.schema import ModelSection

DEFAULT_BATCHES = "1,2,4,8,16"


@click.command()
@click.argument("name", default="digits-cnn")
@click.option("--dataset", default="", help="Data set; by default the recipe's.")
@click.option("--data-dir", default=None, help="Folder of the data set's files.")
@click.option("--seed", default=1, show_default=True, help="Seed of weights, order and corruption.")
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs; by default the recipe's.")
@click.option(
    "--items", type=click.IntRange(min=1), help="Train on the first items only, as a trial."
)
@click.option("--threads", type=click.IntRange(min=1), help="Torch threads; by default all cores.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    help="auto: the recipe's, where this processor supports bfloat16.",
)
@click.option("--distillation", type=click.FloatRange(min=0), help="Weight of self-distillation.")
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write after every epoch, and to resume from when it exists.",
)
@click.option(
    "--bottleneck",
    type=click.FloatRange(min=2, max=1000),
    metavar="RATIO",
    help="Instead, learn encoders and decoders that shrink feature maps RATIO times.",
)
@click.option("--weights", default=None, help="Weights to start from, instead of random ones.")
@click.option(
    "--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Highest learning rate."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Weights file to write, a model card beside it; by default NAME.safetensors here.",
)
def train(
    name: str,
    dataset: str,
    data_dir: str | None,
    seed: int,
    epochs: int | None,
    items: int | None,
    threads: int | None,
    precision: str,
    distillation: float | None,
    checkpoint: Path | None,
    bottleneck: float | None,
    weights: str | None,
    learning_rate: float | None,
    out: Path | None,
) -> None:
    """Train network NAME (digits-cnn by default) and write its weights.

    NAME may also be a config, CONFIG.toml: its [model] table then says the network and the data.

    The same seed on the same machine with the same number of threads gives the same weights.
    With --weights, training continues from there, at full resolution. With --bottleneck, the
    network stays unchanged, and the small networks at its cuts are trained.
    """
    with told_by(_places(name, dataset, data_dir)):
        model = _model(name, dataset, data_dir)
        stem = model.name.replace(":", "-")
        if bottleneck is not None:
            from mdibench.training.bottleneck import PairJob, run_pair_job

            file = out or Path(f"{stem}-x{bottleneck:g}.safetensors")
            run_pair_job(PairJob(model, weights, bottleneck, seed, threads, file))
            return
        from mdibench.training.training_job import TrainingJob, run_job

        run_job(
            TrainingJob(
                model=model,
                seed=seed,
                epochs=epochs,
                items=items,
                threads=threads,
                precision=precision,
                distillation=distillation,
                weights=Path(weights) if weights else None,
                learning_rate=learning_rate,
                checkpoint=checkpoint,
                out=out or Path(f"{stem}.safetensors"),
            )
        )


def _model(name: str, dataset: str, data_dir: str | None) -> ModelSection:
    """The network and its data, of a config or of the options, which come first."""
    from mdibench.config.reading import load_config
    from mdibench.config.schema import ModelSection

    if name.endswith(".toml"):
        model = load_config(Path(name)).model
    else:
        model = ModelSection(name=name, dataset="")
    changes = {"dataset": dataset or model.dataset, "data_dir": data_dir or model.data_dir}
    return model.model_copy(update=changes)


def _places(name: str, dataset: str, data_dir: str | None) -> dict[str, str]:
    """The arguments that say keys of the config, where no config says them."""
    here = not name.endswith(".toml")
    said = {
        "model.name": (here, "NAME"),
        "model.dataset": (here or dataset, "--dataset"),
        "model.data_dir": (here or data_dir, "--data-dir"),
        "model.weights": (True, "--weights"),
    }
    return {key: place for key, (by_argument, place) in said.items() if by_argument}


# --- profile ---------------------------------------------------------------------------------


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
