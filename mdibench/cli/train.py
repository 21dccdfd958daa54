"""``mdibench train``: train a network with its exits and write weights and a model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mdibench.config.schema import ModelSection


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
