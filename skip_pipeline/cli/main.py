"""The command ``skip-pipeline``: what each command takes; the work is in the modules beside this one.

A command imports Dagster, TensorFlow and the world when it runs, so that ``--help`` does not wait for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skip_pipeline import settings
from skip_pipeline.cli import rollback as rollback_command
from skip_pipeline.cli import serving as serving_commands
from skip_pipeline.cli.options import ERR, OUT, DataDir, guarded, use
from skip_pipeline.locations import is_url

app = typer.Typer(
    help="From raw listening logs to a tracked, evaluated skip model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
serving_commands.register(app)
rollback_command.register(app)


_ENGINE = settings.EngineSettings()

Preset = Annotated[settings.Preset, typer.Option(help="Network to train.")]
TrainDays = Annotated[
    int | None,
    typer.Option(help="Train on this many newest days of the data only.", show_default="all", min=1),
]


def _named_folder(text: str) -> Path:
    """The folder of a name; refuses the empty string, which an unset variable gives, and URLs."""
    if not text.strip():
        raise typer.BadParameter("it names no folder")
    if is_url(text):
        raise typer.BadParameter("it is a URL; name a folder of this machine, and copy its files to the URL")
    return Path(text)


@app.command()
def synthesize(
    out: Annotated[
        Path,
        typer.Option(parser=_named_folder, metavar="PATH", help="Raw folder to write, usually data/01_raw."),
    ],
    sessions: Annotated[int, typer.Option(help="Listening sessions.")] = settings.SYNTHETIC_SESSIONS,
    tracks: Annotated[int, typer.Option(help="Tracks in the catalogue.")] = settings.SYNTHETIC_TRACKS,
    seed: Annotated[
        int, typer.Option(help="A different seed gives different data.")
    ] = settings.SYNTHETIC_SEED,
    days: Annotated[int, typer.Option(help="Number of days, from 2018-07-15.")] = 1,
    shards: Annotated[
        int | None,
        typer.Option(
            help="Number of log files, named as in the full archive.",
            show_default="log_mini.csv, or one a day for several days",
        ),
    ] = None,
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress the CSVs.")] = False,
    drift: Annotated[
        list[str] | None,
        typer.Option(
            help="A change and its first date: skip_rate@2018-07-17 (more skips), track_features@… (more "
            "organic music), context_type@… (more radio), unknown_level@… (starts called uriopen). May be "
            "given more than once.",
            show_default="none",
        ),
    ] = None,
    test_sessions: Annotated[
        int,
        typer.Option(
            help="Sessions to be scored, of the day after the last: test_set/log_prehistory_… and "
            "log_input_….csv, as in the public archive."
        ),
    ] = 0,
) -> None:
    """Write a synthetic data set in the raw format, marked as synthetic, with its best possible predictions.

    An earlier synthetic data set in the folder is replaced. A folder with other files is refused.
    """
    from skip_pipeline.world.drift import Drift
    from skip_pipeline.world.synthesize import synthesize as write

    summary = guarded(
        lambda: write(
            out,
            sessions=sessions,
            tracks=tracks,
            seed=seed,
            days=days,
            shards=shards,
            compressed=gzip,
            drifts=[Drift.parse(text) for text in drift or ()],
            test_sessions=test_sessions,
        )
    )
    OUT.print(
        f"Wrote {summary.sessions:,} synthetic sessions, {summary.rows:,} log rows and {summary.tracks:,} "
        f"tracks to {out} in {summary.seconds:.1f} s"
        + (f", and {test_sessions:,} sessions to be scored" if test_sessions else "")
    )


@app.command()
def run(
    data_dir: DataDir = None,
    preset: Preset = settings.DEFAULT_PRESET,
    select: Annotated[
        str | None,
        typer.Option(
            help="Assets to materialize: names separated by commas, or Dagster's selection syntax.",
            show_default="all",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the initial weights, dropout and shuffling.", min=0)] = 0,
    train_days: TrainDays = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Sessions per training step; fewer are refused.", show_default="preset's", min=1),
    ] = None,
    engine: Annotated[
        settings.EngineKind,
        typer.Option(help="Where work on shards runs: in this process, in local processes, or on Dask."),
    ] = _ENGINE.kind,
    workers: Annotated[
        int | None, typer.Option(help="Processes of that engine.", show_default="one per core", min=1)
    ] = None,
    scheduler: Annotated[
        str,
        typer.Option(
            help="Address of a Dask scheduler; by default --engine dask starts one on this machine."
        ),
    ] = "",
) -> None:
    """Materialize assets through Dagster, recorded in MLflow; exit status 1 if anything fails."""
    layout = use(data_dir)

    from skip_pipeline.cli.run import run as run_assets
    from skip_pipeline.cli.run import training_config, ui_command

    chosen = {"kind": engine, "workers": workers, "address": scheduler}
    changed = {name: value for name, value in chosen.items() if value != getattr(_ENGINE, name)}
    training = training_config(preset, seed, train_days=train_days, batch_size=batch_size)
    outcome = guarded(lambda: run_assets(layout, training, select, OUT, changed))
    if not outcome.success:
        for failure in outcome.failures:
            ERR.print(f"error: {failure}", style="red", markup=False)
        ERR.print(f"Run {outcome.run_id} failed; its steps are shown by: {ui_command(layout)}", markup=False)
        raise typer.Exit(1)


@app.command()
def train_worker(
    data_dir: DataDir = None,
    preset: Annotated[
        settings.Preset, typer.Option(help="Network to train; worker 0 decides.")
    ] = settings.DEFAULT_PRESET,
    seed: Annotated[int, typer.Option(help="As for run; worker 0 decides.", min=0)] = 0,
    train_days: TrainDays = None,
) -> None:
    """Train on several machines: this process is the worker that TF_CONFIG names.

    Every machine needs the same bundles (assets up to tensor_bundles), the same --train-days and the same
    TF_CONFIG except for the task's index. Worker 0 materializes trained_model, as run does; the others
    only take part.
    """
    layout = use(data_dir)

    from skip_pipeline.training.cluster import several_workers

    if guarded(several_workers).worker == 0:
        run(data_dir=data_dir, preset=preset, select="trained_model", seed=seed, train_days=train_days)
        return
    epochs = guarded(lambda: _take_part(layout, train_days))
    OUT.print(f"Took part in {epochs} epochs; worker 0 keeps the network", markup=False)


def _take_part(layout: settings.DataLayout, train_days: int | None) -> int:
    from skip_pipeline.bundles.gather import open_bundles
    from skip_pipeline.nightly.window import shards_in_window
    from skip_pipeline.training.train import train

    bundles = open_bundles(layout.bundles)
    trained = train(
        bundles["train"].of_shards(shards_in_window(layout, train_days)),
        bundles["validation"],
        settings.PRESETS[settings.DEFAULT_PRESET],  # worker 0's take their place
        lambda epoch: OUT.print(str(epoch), markup=False),
    )
    return len(trained.history)


@app.command()
def ui(
    data_dir: DataDir = None,
    dagster_port: Annotated[int, typer.Option(help="Port of Dagster on 127.0.0.1.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="Port of MLflow on 127.0.0.1.")] = 5000,
) -> None:
    """Serve Dagster (with the nightly schedule) and MLflow on this machine until Ctrl-C."""
    layout = use(data_dir)

    from skip_pipeline.cli import ui as servers

    guarded(lambda: servers.serve(layout, dagster_port, mlflow_port, OUT))
