"""The commands ``serve`` (over HTTP) and ``predict`` (a file), without TensorFlow and Dagster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from skip_pipeline import settings
from skip_pipeline.cli.options import ERR, OUT, DataDir, Model, refusals
from skip_pipeline.defs.places import data_directory, has_store, tracking_uri
from skip_pipeline.errors import BadInputError, MissingInputError, RefusedError
from skip_pipeline.settings import DataLayout

if TYPE_CHECKING:
    import pyarrow as pa

    from skip_pipeline.serving.follow import Source
    from skip_pipeline.serving.sessions import Sessions

_ROWS_SHOWN: Final = 20  # of a terminal's table; `--out` has all


def serve(
    data_dir: DataDir = None,
    model: Model = None,
    # The server has no log-in: whoever can reach it can use it.
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but a loopback address is open to other machines.")
    ] = "127.0.0.1",
    # Beside the 5000 of MLflow's own pages.
    port: Annotated[int, typer.Option(help="0 for any free port.", min=0, max=65_535)] = 5001,
    processes: Annotated[
        int, typer.Option(help="Processes that answer; each takes one core and opens the model.", min=1)
    ] = 1,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name that requests may use for this machine, such as the one that a proxy passes on.",
            show_default="any if other machines can reach the server, else those of loopback",
        ),
    ] = None,
) -> None:
    """Serve the champion over HTTP until Ctrl-C, and change models when the alias moves.

    Requests and answers are JSON as in MLflow's own scoring server: POST /invocations, GET /ping. GET
    /version names the model, GET /docs shows the schema.
    """
    from skip_pipeline.serving.follow import Follower
    from skip_pipeline.serving.server import log_to_stderr
    from skip_pipeline.serving.server import serve as run

    log_to_stderr()
    with refusals():
        follower = Follower(model_source(model, data_dir))
        served = follower.served
        what = f"Serving version {served.version} ({served.model.data_source} data) on"
        run(
            follower,
            host,
            port,
            lambda url: OUT.print(f"{what} {url}/invocations"),
            processes=processes,
            allowed_hosts=allow_host or (),
        )


def predict(
    file: Annotated[
        Path,
        typer.Argument(
            help="A request as JSON; or a log (CSV or parquet), for the last track of every session; "
            "or log_prehistory_….csv of the test set, with log_input_….csv beside it, for every track in it."
        ),
    ],
    data_dir: DataDir = None,
    model: Model = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV or parquet file to write.", show_default="a table on a terminal, else CSV on stdout"
        ),
    ] = None,
) -> None:
    """Predict how likely each session's next track, or each of its candidates, is to be skipped."""
    import loky

    from skip_pipeline.serving.batch import prediction_table, second_half_table
    from skip_pipeline.serving.follow import opened

    with refusals():
        if out is not None:
            _check_target(out)
        sessions = _read(file)
        source = model_source(model, data_dir)
        served = opened(source, source.current())
        scores = served.model.score(sessions, threads=loky.cpu_count())
        if sessions.following:
            table = second_half_table(served.model, sessions, scores, served.version)
        else:
            table = prediction_table(sessions, scores, served.version)
        _write(table, out, served.model.data_source)
        unknown = int((~scores.known_track).sum())
        ERR.print(
            f"{len(sessions):,} sessions scored by version {served.version}, trained on "
            f"{served.model.data_source} data; {unknown:,} next tracks unknown to it, "
            f"{scores.unknown_levels:,} values of unknown level"
        )


def _read(file: Path) -> Sessions:
    from skip_pipeline.raw.log_pairs import PREHISTORY, pair_of
    from skip_pipeline.serving.logs import read_log_pair, read_whole_log
    from skip_pipeline.serving.requests import sessions_of_json

    if not file.is_file():
        what = "is a folder" if file.is_dir() else "is a pipe or device" if file.exists() else "is not there"
        raise MissingInputError(f"{file} {what}; name a file of JSON, CSV or parquet")
    if file.suffix.lower() == ".json":
        try:
            return sessions_of_json(file.read_bytes())
        except BadInputError as refusal:
            raise BadInputError(f"{file}: {refusal}") from refusal
    if file.name.startswith(PREHISTORY):
        return read_log_pair(pair_of(file))
    return read_whole_log(file)


def _check_target(out: Path) -> None:
    """Refuse a file that cannot be written, before the work is done."""
    from skip_pipeline.storage.files import check_target

    if out.suffix.lower() not in (".csv", ".parquet"):
        raise RefusedError(f"{out} ends neither in .csv nor in .parquet; choose one of the two")
    check_target(out)


def _write(table: pa.Table, out: Path | None, data_source: str) -> None:
    """Write predictions to a file, a terminal or, as CSV, a pipe; each names the model's data source."""
    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    from skip_pipeline.storage.files import replacing

    if out is None and sys.stdout.isatty():
        OUT.print(_shown(table, data_source))
        return
    with_source = table.append_column("data_source", pa.repeat(data_source, table.num_rows))
    if out is None:
        try:
            pacsv.write_csv(with_source, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # the reader has all that it wants
            raise typer.Exit(1) from None
        except OSError as failure:
            raise RefusedError(
                f"standard output cannot be written ({failure}), expected a place with room. Choose a file "
                "with --out"
            ) from failure
        return
    with replacing(out) as part:
        if out.suffix.lower() == ".parquet":
            pq.write_table(table.replace_schema_metadata({"data_source": data_source}), part)
        else:
            pacsv.write_csv(with_source, part)


def _shown(table: pa.Table, data_source: str) -> Table:
    more = table.num_rows - _ROWS_SHOWN
    shown = Table(
        *table.column_names,
        title=f"Model trained on {data_source} data",
        caption=f"and {more:,} more; --out FILE has all" if more > 0 else None,
    )
    for row in table.slice(0, _ROWS_SHOWN).to_pylist():
        texts = (
            f"{cell:.3f}" if isinstance(cell, float) else "" if cell is None else str(cell)
            for cell in row.values()
        )
        # An id may have control characters, or look like Rich's markup.
        shown.add_row(*(Text("".join(c if c.isprintable() else "\ufffd" for c in text)) for text in texts))
    return shown


def model_source(model: Path | None, data_dir: Path | None) -> Source:
    """The model in a folder; without one, the registry's champion and no other model."""
    from skip_pipeline.defs.registry import Registry
    from skip_pipeline.serving.follow import FolderSource

    if model is not None:
        return FolderSource(model)
    layout = DataLayout(data_directory(data_dir))
    if not has_store(layout):
        raise MissingInputError(
            f"{layout.mlflow} holds no record of any model; expected a registered {settings.MODEL_NAME}. "
            f"Materialize champion_model, set {settings.TRACKING_URI_VARIABLE} to the server that holds the "
            "registry, or name the folder of a served model with --model"
        )
    return Registry(tracking_uri(layout))
