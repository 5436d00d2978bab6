"""The commands ``challenge split``, ``submit`` and ``evaluate``: the second half of every session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from skip_pipeline import settings
from skip_pipeline.cli.options import OUT, AsJson, DataDir, Model, Workers, examples, refusals, show_json
from skip_pipeline.errors import RefusedError

if TYPE_CHECKING:
    from skip_pipeline.challenge.submission import Decide

app = typer.Typer(
    help="The challenge's own task: which tracks of a session's second half are skipped, given its first.",
    no_args_is_help=True,
)

SplitChoice = Literal["all", "train", "validation", "gate", "test"]
RuleChoice = Literal["random", "last-action", "majority"]

_ENGINE: Final = settings.EngineSettings()
_NO_LEADERBOARD: Final = {
    "synthetic": "Synthetic data: these figures say nothing about real listeners, and do not belong beside "
    "the challenge's leaderboard.",
    "real": "These sessions are not the challenge's test set, whose truth was never published.",
}

Engine = Annotated[
    settings.EngineKind, typer.Option(help="Where files are worked on: in this process, or in local ones.")
]


@app.command(
    epilog=examples("challenge split data/01_raw/training_set/log_mini.csv --of test --out data/challenge")
)
def split(
    logs: Annotated[list[Path], typer.Argument(help="Logs of whole sessions, such as log_mini.csv.")],
    out: Annotated[
        Path,
        typer.Option(help="New folder: test_set/ for the prehistory and the input, truth/ for outcomes."),
    ],
    of: Annotated[
        SplitChoice,
        typer.Option(
            help="Sessions to cut: all, or one of the splits; no model here has learnt from gate or test."
        ),
    ] = "all",
    engine: Engine = _ENGINE.kind,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Cut the sessions of logs in half, in the formats and names of the challenge, with the truth apart."""
    from skip_pipeline.challenge.split import split_logs
    from skip_pipeline.engine import open_engine

    with refusals(), open_engine(settings.EngineSettings(kind=engine, workers=workers)) as opened:
        made = split_logs(
            logs,
            out,
            today=dt.datetime.now(dt.UTC).date(),
            of=None if of == "all" else of,
            apply=partial(opened.map, label="challenge split"),
        )
    if as_json:
        show_json(asdict(made))
        return
    OUT.print(
        f"Cut {made.sessions:,} {'synthetic ' if made.data_source == 'synthetic' else ''}sessions (files: "
        f"{made.files:,}): {out / settings.TEST_SET}, and the outcomes of {made.tracks:,} tracks in "
        f"{out / settings.TRUTH_FOLDER}"
    )


@app.command(
    epilog=examples(
        "challenge submit data/01_raw/test_set --out submission.txt",
        "challenge submit data/01_raw/test_set --rule last-action --out last_action.txt",
    )
)
def submit(
    test_set: Annotated[Path, typer.Argument(help="Folder of log_prehistory_… and log_input_….csv.")],
    out: Annotated[Path, typer.Option(help="Submission to write.")],
    data_dir: DataDir = None,
    model: Model = None,
    rule: Annotated[
        RuleChoice | None, typer.Option(help="A rule that decides in place of a model.", show_default="none")
    ] = None,
    engine: Engine = _ENGINE.kind,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Decide on every track of the second halves, and write the submission that the challenge takes.

    It has a line per session, in order of first appearance over the sorted input files.
    """
    from skip_pipeline.challenge.submission import submit as write
    from skip_pipeline.engine import open_engine

    with (
        refusals(),
        _decided_by(rule, model, data_dir) as (decide, by),
        open_engine(settings.EngineSettings(kind=engine, workers=workers)) as opened,
    ):
        answered = write(test_set, out, decide, apply=partial(opened.map, label="challenge submit"))
    if as_json:
        show_json(asdict(answered) | {"decided_by": by})
        return
    facts = (
        f"Wrote {out}: {answered.sessions:,} lines for {answered.tracks:,} tracks (files: {answered.files:,})"
    )
    if answered.not_half:
        facts += f"; sessions with a prehistory longer or shorter than half: {answered.not_half:,}"
    OUT.print(f"{facts}. Decided by {by}")


@contextmanager
def _decided_by(
    rule: RuleChoice | None, model: Path | None, data_dir: Path | None
) -> Iterator[tuple[Decide, str]]:
    """What decides, and its name."""
    if rule is not None:
        if model is not None:
            raise RefusedError(f"--rule {rule} and --model {model} exclude each other; leave one of them out")

        from skip_pipeline.challenge.rules import RULES

        yield RULES[rule], f"the rule {rule}"
        return

    from skip_pipeline.cli.serving import model_source
    from skip_pipeline.serving import batch
    from skip_pipeline.serving.model_folder import read_description

    source = model_source(model, data_dir)
    version = source.current()
    with source.fetched(version) as folder:
        trained_on = read_description(folder).data_source
        yield partial(batch.decide, model=folder), f"model version {version}, trained on {trained_on} data"


@app.command(epilog=examples("challenge evaluate data/01_raw/truth last_action.txt submission.txt"))
def evaluate(
    truth: Annotated[Path, typer.Argument(help="The folder truth/, or one log_truth_….csv.")],
    submissions: Annotated[
        list[Path], typer.Argument(help="Submissions; each is compared with the first, session by session.")
    ],
    as_json: AsJson = False,
) -> None:
    """Score submissions: mean average accuracy (MAA) and first-prediction accuracy (FPA), with intervals."""
    from skip_pipeline.challenge.evaluation import evaluate as score

    with refusals():
        found = score(truth, submissions)
    if as_json:
        show_json(asdict(found) | {"submissions": list(map(str, submissions))})
        return
    lines = [("", f"MAA ({settings.CONFIDENCE:.0%} interval)", f"FPA ({settings.CONFIDENCE:.0%} interval)")]
    for path, scores in zip(submissions, found.scores, strict=True):
        lines.append((str(path), f"{scores.maa:.4f}", f"{scores.fpa:.4f}"))
    for path, above in zip(submissions[1:], found.differences, strict=True):
        name = f"{path} minus {submissions[0]}"
        lines.append((name, f"{above.maa:+.4f}", f"{above.fpa:+.4f}"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    OUT.print(f"{found.sessions:,} sessions, {found.tracks:,} tracks, {found.data_source} data")
    for line in lines:
        cells = (f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
        OUT.print("   ".join(cells).rstrip())
    OUT.print(_NO_LEADERBOARD[found.data_source])
