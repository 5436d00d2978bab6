"""The command ``skip-pipeline``: what each command takes; the work is in the modules beside this one.

A command imports Dagster, TensorFlow and the world when it runs, so that ``--help`` does not wait for them.
"""

from __future__ import annotations

import gc
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from skip_pipeline import settings
from skip_pipeline.cli import challenge, import_history, serving
from skip_pipeline.cli.doctor import doctor
from skip_pipeline.cli.options import (
    EXIT_STATUSES,
    OUT,
    AsJson,
    DataDir,
    Workers,
    examples,
    named_folder,
    refusals,
    refusals_of_limits,
    refuse_missing_docstrings,
    refuse_other_encodings,
    show_json,
    use,
)
from skip_pipeline.cli.output import lasting_output
from skip_pipeline.cli.status import status
from skip_pipeline.errors import MissingInputError
from skip_pipeline.world.laws.registry import DEFAULT as DEFAULT_LAW
from skip_pipeline.world.laws.registry import LAWS


class _Commands(typer.Typer):
    """All commands, as a process of their own calls them."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        lasting_output()
        refuse_other_encodings(sys.argv[1:])
        refuse_missing_docstrings()
        with refusals_of_limits():
            return super().__call__(*args, **kwargs)


app = _Commands(
    help="From raw listening logs to a tracked, evaluated skip model.",
    epilog="\n\n".join(("Exit status:", *(f"{status}: {means}" for status, means in EXIT_STATUSES.items()))),
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

_ENGINE = settings.EngineSettings()
_GARBAGE = (50_000, 20, 20)
"""Objects, and collections of younger ones, after which a run looks for garbage. TensorFlow and MLflow are
millions of objects that stay: with Python's 700, 10 and 10, a run of the demo spends a second more on it."""

Preset = Annotated[settings.Preset, typer.Option(help="Network to train.")]
TrainDays = Annotated[
    int | None,
    typer.Option(help="Train on this many newest days of the data only.", show_default="all", min=1),
]


@app.command(
    epilog=examples(
        "synthesize --out data/01_raw",
        "synthesize --out big --sessions 1000000 --shards 100 --gzip",
        "synthesize --out nights --days 7 --drift skip_rate@2018-07-19",
        "synthesize --out regions --laws regions",
    )
)
def synthesize(
    out: Annotated[
        Path,
        typer.Option(parser=named_folder, metavar="PATH", help="Raw folder to write, usually data/01_raw."),
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
            "log_input_….csv, as in the public archive. The outcomes of their second halves are in truth/."
        ),
    ] = 0,
    laws: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How listeners behave. " + "; ".join(f"{name}: {text}" for name, text in LAWS.items()) + ".",
        ),
    ] = DEFAULT_LAW,
    as_json: AsJson = False,
) -> None:
    """Write a synthetic data set in the raw format, marked as synthetic, with its best possible predictions.

    An earlier synthetic data set in the folder is replaced. A folder with other files is refused.
    """
    from skip_pipeline.world.drift import Drift
    from skip_pipeline.world.synthesize import synthesize as write

    with refusals():
        summary = write(
            out,
            sessions=sessions,
            tracks=tracks,
            seed=seed,
            days=days,
            shards=shards,
            compressed=gzip,
            drifts=[Drift.parse(text) for text in drift or ()],
            test_sessions=test_sessions,
            law=laws,
        )
    if as_json:
        show_json(asdict(summary))
        return
    OUT.print(
        f"Wrote {summary.sessions:,} synthetic sessions, {summary.rows:,} log rows and {summary.tracks:,} "
        f"tracks to {out} in {summary.seconds:.1f} s"
        + (f", and {test_sessions:,} sessions to be scored" if test_sessions else "")
    )


@app.command(
    epilog=examples(
        "run",
        "run --data-dir me",
        "run --select trained_model,evaluation_report --preset published",
        "run --train-days 30 --engine processes",
        "run --json",
    )
)
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
        typer.Option(
            help="Sessions per training step; a smaller training split is refused.",
            show_default="preset's",
            min=1,
        ),
    ] = None,
    engine: Annotated[
        settings.EngineKind,
        typer.Option(help="Where work on shards runs: in this process, in local processes, or on Dask."),
    ] = _ENGINE.kind,
    workers: Workers = None,
    scheduler: Annotated[
        str,
        typer.Option(
            help="Address of a Dask scheduler; by default --engine dask starts one on this machine."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Make tables, models and report as assets of Dagster, recorded in MLflow; exit status 1 on a failure.

    Each finished asset is a line, with the time left if an earlier run has made the same assets.
    """
    layout = use(data_dir)
    gc.set_threshold(*_GARBAGE)

    from skip_pipeline.cli.run import run as run_assets

    chosen = {"kind": engine, "workers": workers, "address": scheduler}
    changed = {name: value for name, value in chosen.items() if value != getattr(_ENGINE, name)}
    training = {"preset": preset, "seed": seed, "train_days": train_days, "batch_size": batch_size}
    with refusals():
        run_assets(layout, select, training, changed, as_json=as_json)


@app.command(epilog=examples("train-worker --data-dir /shared/data"))
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

    with refusals():
        first = several_workers().worker == 0
    if first:
        run(data_dir=data_dir, preset=preset, select="trained_model", seed=seed, train_days=train_days)
        return

    from skip_pipeline.bundles.gather import open_bundles
    from skip_pipeline.nightly.window import shards_in_window
    from skip_pipeline.training.train import train

    with refusals():
        bundles = open_bundles(layout.bundles)
        trained = train(
            bundles["train"].of_shards(shards_in_window(layout, train_days)),
            bundles["validation"],
            settings.PRESETS[settings.DEFAULT_PRESET],  # worker 0's take their place
            lambda epoch: OUT.print(str(epoch)),
        )
    OUT.print(f"Took part in {len(trained.history)} epochs; worker 0 keeps the network")


@app.command(epilog=examples("ui", "ui --data-dir me --dagster-port 3001 --mlflow-port 5002"))
def ui(
    data_dir: DataDir = None,
    dagster_port: Annotated[int, typer.Option(help="Port of Dagster on 127.0.0.1.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="Port of MLflow on 127.0.0.1.")] = 5000,
) -> None:
    """Serve Dagster (with the nightly schedule) and MLflow on this machine until Ctrl-C."""
    layout = use(data_dir)

    from skip_pipeline.cli.ui import serve as serve_pages

    with refusals():
        serve_pages(layout, dagster_port, mlflow_port)


@app.command(epilog=examples("rollback", "rollback --data-dir me --json"))
def rollback(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Let the previous champion serve again; a second rollback undoes the first."""
    layout = use(data_dir)

    from skip_pipeline.definitions import mlflow_tracker
    from skip_pipeline.defs.places import has_store
    from skip_pipeline.nightly.champion import roll_back

    with refusals():
        if not has_store(layout):
            raise MissingInputError(
                f"{layout.mlflow} holds no record of any model; expected a registered {settings.MODEL_NAME}. "
                "Name another data directory with --data-dir"
            )
        withdrawn, champion = roll_back(mlflow_tracker(layout).registry())
    if as_json:
        show_json({"model": settings.MODEL_NAME, "champion": champion, "withdrawn": withdrawn})
        return
    OUT.print(
        f"{settings.MODEL_NAME}: version {champion} is the champion again"
        + (f"; version {withdrawn} is withdrawn, and is now previous_champion" if withdrawn else "")
    )


@app.command(epilog=examples("prune", "prune --data-dir me --keep 30 --json"))
def prune(
    data_dir: DataDir = None,
    keep: Annotated[int, typer.Option(help="Newest ended runs to keep.", min=1)] = settings.RUNS_KEPT,
    as_json: AsJson = False,
) -> None:
    """Remove the records of old runs: Dagster's logs, MLflow's runs and versions without an alias."""
    layout = use(data_dir)

    from skip_pipeline.definitions import mlflow_tracker
    from skip_pipeline.defs.launch import open_instance, prepare_home
    from skip_pipeline.defs.retention import prune as remove

    with refusals():
        prepare_home(layout)
        found = remove(open_instance(), mlflow_tracker(layout), keep=keep)
    if as_json:
        show_json(asdict(found))
        return
    OUT.print(
        f"removed {found.dagster_runs} runs of Dagster, {found.mlflow_runs} of MLflow and {found.versions} "
        f"versions of {settings.MODEL_NAME}"
        + ("" if found.collected else "; run `mlflow gc` where MLflow's server runs, to remove their files")
    )


# `--help` lists commands in the order of their registration: those of the first minutes come first.
app.command(
    epilog=examples(
        "import-history my_spotify_data.zip --data-dir me",
        "import-history my_spotify_data.zip --time-zone Europe/Stockholm --names",
    )
)(import_history.import_history)
app.command(epilog=examples("serve", "serve --model data/06_best/served_model --port 5003"))(serving.serve)
app.command(
    epilog=examples(
        "predict docs/candidates.json", "predict data/01_raw/training_set/log_mini.csv --out scores.parquet"
    )
)(serving.predict)
app.command(epilog=examples("status", "status --data-dir me --json"))(status)
app.command(epilog=examples("doctor", "doctor --data-dir me", "doctor --json"))(doctor)
app.add_typer(challenge.app, name="challenge")
