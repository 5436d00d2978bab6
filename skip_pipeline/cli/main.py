"""The few commands Dagster does not give: synthetic data, a run from the terminal, both UIs at once.

Heavy imports (Dagster, TensorFlow, the world) happen inside the command that needs them.
"""

from __future__ import annotations

from enum import StrEnum
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


class PresetChoice(StrEnum):
    """Networks that ``run`` can train."""

    fast = "fast"
    published = "published"
    single_input = "single_input"


class EngineChoice(StrEnum):
    """Where ``run`` can do the work on shards."""

    in_process = "in_process"
    processes = "processes"
    dask = "dask"


DEFAULT_ENGINE = settings.EngineSettings()
DEFAULT_ENGINE_CHOICE = EngineChoice(DEFAULT_ENGINE.kind)
DEFAULT_PRESET = PresetChoice(settings.DEFAULT_PRESET)

TrainDays = Annotated[
    int | None,
    typer.Option(help="Learn from this many newest days of the data alone.", show_default="all", min=1),
]


def _named_folder(text: str) -> Path:
    """A path that somebody meant: the empty string, of an unset variable, would be the current folder."""
    if not text.strip():
        raise typer.BadParameter("it names no folder")
    if is_url(text):
        raise typer.BadParameter("it is a URL; name a folder of this machine, and copy what is made in there")
    return Path(text)


@app.command()
def synthesize(
    out: Annotated[
        Path,
        typer.Option(parser=_named_folder, metavar="PATH", help="Raw folder to write, usually data/01_raw."),
    ],
    sessions: Annotated[int, typer.Option(help="Listening sessions.")] = settings.SYNTHETIC_SESSIONS,
    tracks: Annotated[int, typer.Option(help="Tracks in the catalogue.")] = settings.SYNTHETIC_TRACKS,
    seed: Annotated[int, typer.Option(help="Another seed is another world.")] = settings.SYNTHETIC_SEED,
    days: Annotated[int, typer.Option(help="Days the sessions end on, from 2018-07-15.")] = 1,
    shards: Annotated[
        int | None,
        typer.Option(
            help="Log files in all, named as in the full archive.",
            show_default="log_mini.csv, or one a day if there are several days",
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
            help="Sessions of the day after, to be scored: test_set/log_prehistory_… and log_input_….csv, as "
            "in the public archive."
        ),
    ] = 0,
) -> None:
    """Write a synthetic data set in the raw format, marked as synthetic, with its best possible score.

    An earlier synthetic set in the folder is replaced; anything else there is left alone and refused.
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
    preset: Annotated[PresetChoice, typer.Option(help="Network to train.")] = DEFAULT_PRESET,
    select: Annotated[
        str | None,
        typer.Option(
            help="Assets to materialize: names separated by commas, or Dagster's selection syntax.",
            show_default="all",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the initial weights, dropout and shuffling.", min=0)] = 0,
    train_days: TrainDays = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Sessions per training step; fewer are refused.", show_default="preset's", min=1),
    ] = None,
    engine: Annotated[
        EngineChoice, typer.Option(help="Where work on shards runs: here, in local processes, on Dask.")
    ] = DEFAULT_ENGINE_CHOICE,
    workers: Annotated[
        int | None, typer.Option(help="Of that engine.", show_default="one per core", min=1)
    ] = None,
    scheduler: Annotated[
        str,
        typer.Option(help="Address of a Dask scheduler; else --engine dask starts one on this machine."),
    ] = "",
) -> None:
    """Materialize assets through Dagster, recorded in MLflow; exit status 1 if anything fails."""
    layout = use(data_dir)

    from skip_pipeline.cli import run as terminal

    chosen = {"kind": engine.value, "workers": workers, "address": scheduler}
    changed = {name: value for name, value in chosen.items() if value != getattr(DEFAULT_ENGINE, name)}
    outcome = guarded(
        lambda: terminal.run(
            layout,
            terminal.training_config(preset.value, seed, train_days=train_days, batch_size=batch_size),
            select,
            OUT,
            changed,
        )
    )
    if not outcome.success:
        for failure in outcome.failures:
            ERR.print(f"error: {failure}", style="red", markup=False)
        ERR.print(
            f"Run {outcome.run_id} failed; see it step by step: {terminal.ui_command(layout)}", markup=False
        )
        raise typer.Exit(1)


@app.command()
def train_worker(
    data_dir: DataDir = None,
    preset: Annotated[
        PresetChoice, typer.Option(help="Network to train; worker 0 decides.")
    ] = DEFAULT_PRESET,
    seed: Annotated[int, typer.Option(help="As for run; worker 0 decides.", min=0)] = 0,
    train_days: TrainDays = None,
) -> None:
    """Train on several machines: be the worker that TF_CONFIG makes of this one.

    Every machine needs the same bundles (assets up to tensor_bundles), the same --train-days and the
    same TF_CONFIG but for the task's index. Worker 0 materializes trained_model, as run does; the others
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
    dagster_port: Annotated[int, typer.Option(help="Dagster's, on 127.0.0.1.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="MLflow's, on 127.0.0.1.")] = 5000,
) -> None:
    """Serve Dagster (with the nightly schedule) and MLflow on this machine until Ctrl-C."""
    layout = use(data_dir)

    from skip_pipeline.cli import ui as servers

    guarded(lambda: servers.serve(layout, dagster_port, mlflow_port, OUT))
