"""Every stage over a handful of logs that come, change, move, go, vanish meanwhile, or cannot be read."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from skip_pipeline import code_version, settings
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import flow as stages
from skip_pipeline.stages.encode import split_of
from skip_pipeline.storage import MANIFEST, Apply, ShardJob, Staging, in_turn, read_manifest
from skip_pipeline_tests.builders import (
    TRACKS,
    Row,
    assert_says,
    deliver,
    own_listening,
    refusal,
    session,
    track,
)

LOGS = ("log_0", "log_1", "log_2", "log_3")
STAGES: dict[str, Callable[..., Any]] = {
    "session_logs": stages.session_logs,
    "track_features": stages.track_features,
    "merged_table": stages.merged_table,
    "encoded_table": stages.encoded_table,
    "scaled_table": stages.scaled_table,
    "tensor_bundles": stages.tensor_bundles,
}
BY_SHARD = ("session_logs", "merged_table", "encoded_table", "scaled_table", "tensor_bundles")


_NAMES = np.array([f"s{i}" for i in range(200)], object)
TRAINING_IDS = _NAMES[split_of(_NAMES) == 0].tolist()
"""Session ids that the hash puts into training."""


def log(name: str, sessions: int = 2, **columns: Any) -> list[Row]:
    """Sessions of one log. All play every track, so that no log widens the range seen in training."""
    first = 2 * int(name.rpartition("_")[2])
    ids = TRAINING_IDS[first : first + sessions]
    return [*session(ids[0], 20, **columns), *(row for own in ids[1:] for row in session(own, 20))]


@pytest.fixture
def layout(tmp_path: Path) -> DataLayout:
    """A data directory with all logs but the last, not yet worked on."""
    made = DataLayout(tmp_path / "data")
    deliver(made.root / "01_raw" / "track_features" / "tf.csv", TRACKS)
    for name in LOGS[:-1]:
        deliver(raw(made, name), log(name))
    return made


def raw(layout: DataLayout, name: str) -> Path:
    return layout.root / "01_raw" / "training_set" / f"{name}.csv"


def staging_of(made: Any) -> Staging:
    return made if isinstance(made, Staging) else made.staging


def run(layout: DataLayout, apply: Apply = in_turn) -> dict[str, list[str]]:
    """All stages; for those that work by shard, the logs whose shards were made."""
    made = {name: staging_of(stage(layout, apply=apply)).made for name, stage in STAGES.items()}
    return {name: sorted(Path(s).stem for s in made[name] if not s.startswith("_")) for name in BY_SHARD}


def everywhere(*logs: str) -> dict[str, list[str]]:
    return {name: list(logs) for name in BY_SHARD}


def folders(layout: DataLayout) -> list[Path]:
    tables = (layout.merged, layout.encoded, layout.scaled, layout.bundles)
    return [layout.session_log_summaries, layout.track_feature_summaries, *tables]


def results(layout: DataLayout) -> dict[Path, bytes]:
    """Every published file by its plain path."""
    return {
        (folder / record.name).relative_to(layout.root): (folder / record.name).read_bytes()
        for folder in folders(layout)
        for record in read_manifest(folder, made_by="a stage").files
    }


def from_nothing(layout: DataLayout) -> dict[Path, bytes]:
    """What another data directory with the same raw files comes to."""
    other = DataLayout(layout.root.with_name("other"))
    shutil.rmtree(other.root, ignore_errors=True)
    shutil.copytree(layout.root / "01_raw", other.root / "01_raw")
    run(other)
    return results(other)


def named(layout: DataLayout, name: str) -> set[str]:
    """Stage folders that hold a plain file or folder called after a log, or something of a run cut short."""
    return {
        folder.name
        for folder in folders(layout)
        for path in folder.rglob("*")
        if name in path.relative_to(folder).as_posix() and path.parent.name != "_files"
    }


# --- Logs that come, change, move and go --------------------------------------------------------------


def test_nothing_new_makes_nothing(layout: DataLayout) -> None:
    assert run(layout) == everywhere(*LOGS[:-1])
    before = results(layout)
    assert run(layout) == everywhere()
    assert results(layout) == before


def test_a_log_that_is_added_is_made_alone_and_adds_up(layout: DataLayout) -> None:
    run(layout)
    deliver(raw(layout, "log_3"), log("log_3"))
    assert run(layout) == everywhere("log_3")
    assert results(layout) == from_nothing(layout)
    rows = {folder.name: read_manifest(folder, made_by="a stage").rows for folder in folders(layout)}
    assert [rows[f.name] for f in (layout.session_log_summaries, layout.merged, layout.scaled)] == [160] * 3
    assert rows[layout.bundles.name] == open_bundle(layout.bundles, "train").sessions == 8


def test_a_log_that_is_changed_is_made_again_alone(layout: DataLayout) -> None:
    run(layout)
    deliver(raw(layout, "log_1"), log("log_1", premium=False))
    assert run(layout) == everywhere("log_1")
    assert results(layout) == from_nothing(layout)
    premium = [pq.read_table(layout.scaled / f"{name}.parquet")["premium"].to_pylist() for name in LOGS[:-1]]
    assert [set(values[:20]) for values in premium] == [{1}, {0}, {1}]


def test_a_log_that_is_renamed_is_made_under_its_new_name_and_leaves_nothing_under_the_old(
    layout: DataLayout,
) -> None:
    run(layout)
    raw(layout, "log_0").rename(raw(layout, "log_9"))
    assert run(layout) == everywhere("log_9")
    assert named(layout, "log_0") == set()
    assert results(layout) == from_nothing(layout)


def test_a_log_that_is_removed_goes_from_every_stage(layout: DataLayout) -> None:
    run(layout)
    assert named(layout, "log_2") == {f.name for f in folders(layout)} - {layout.track_feature_summaries.name}
    raw(layout, "log_2").unlink()
    assert run(layout) == everywhere()
    assert named(layout, "log_2") == set()
    assert results(layout) == from_nothing(layout)


# --- Tracks that come and change ------------------------------------------------------------------------


def deliver_tracks(layout: DataLayout, *rows: Row, file: str = "tf.csv") -> None:
    deliver(layout.root / "01_raw" / "track_features" / file, rows)


@pytest.fixture
def of_two_kinds(layout: DataLayout) -> DataLayout:
    """Log 1 alone plays track t_07, which is in the middle of every range; all stages have been made."""
    for name in ("log_0", "log_2"):
        deliver(
            raw(layout, name),
            log(name, track_id_clean=[f"t_{i:02}" if i != 7 else "t_08" for i in range(1, 21)], sessions=1),
        )
    run(layout)
    return layout


def test_new_tracks_that_no_log_plays_make_no_merged_shard_again(layout: DataLayout) -> None:
    run(layout)
    before = (layout.merged / "log_1.parquet").read_bytes()
    deliver_tracks(layout, track("t_00"), track("t_99"), file="more.csv")
    made = run(layout)
    assert made["merged_table"] == []
    assert (layout.merged / "log_1.parquet").read_bytes() == before
    # A code is a row number in the sorted track table, and t_00 has moved them all.
    assert made["encoded_table"] == list(LOGS[:-1])
    assert results(layout) == from_nothing(layout)


def log_of_more_tracks(name: str, *numbers: int) -> list[Row]:
    """A training session of one log that plays these tracks, then the usual ones."""
    played = [f"t_{i:02}" for i in (*numbers, *range(len(numbers) + 1, 21))]
    return session(TRAINING_IDS[2 * int(name.rpartition("_")[2])], 20, track_id_clean=played)


def test_tracks_and_a_log_that_are_appended_make_that_log_s_shard_alone_up_to_the_encoded_table(
    layout: DataLayout,
) -> None:
    run(layout)
    for number, name in ((21, "log_3"), (22, "log_4")):
        deliver_tracks(layout, track(f"t_{number:02}"), file=f"{number}.csv")
        deliver(raw(layout, name), log_of_more_tracks(name, number))
        made = run(layout)
        for stage in ("session_logs", "merged_table", "encoded_table"):
            assert made[stage] == [name], stage
        # A wider range of codes.
        assert len(made["scaled_table"]) == len(made["tensor_bundles"]) == number - 17
        assert results(layout) == from_nothing(layout)
    assert run(layout) == everywhere()


def test_a_track_in_the_middle_makes_every_encoded_shard_again(layout: DataLayout) -> None:
    run(layout)
    deliver_tracks(layout, track("t_07b"), file="more.csv")
    made = run(layout)
    assert (made["merged_table"], made["encoded_table"]) == ([], list(LOGS[:-1]))
    assert results(layout) == from_nothing(layout)


def test_tracks_that_follow_appended_ones_or_go_before_them_make_the_shards_that_know_them(
    layout: DataLayout,
) -> None:
    """Track t_25 gets another code, or none, and log 3 alone was made while the table had it."""
    run(layout)
    deliver_tracks(layout, track("t_21"), track("t_25"), file="more.csv")
    deliver(raw(layout, "log_3"), log_of_more_tracks("log_3", 21))
    run(layout)
    deliver_tracks(layout, track("t_21"), track("t_23"), track("t_25"), file="more.csv")
    assert run(layout)["encoded_table"] == ["log_3"]
    assert results(layout) == from_nothing(layout)
    deliver_tracks(layout, track("t_21"), file="more.csv")
    assert run(layout)["encoded_table"] == ["log_3"]
    assert results(layout) == from_nothing(layout)


def test_a_changed_log_is_encoded_with_appended_tracks_and_noticed_when_these_move(
    layout: DataLayout,
) -> None:
    run(layout)
    deliver_tracks(layout, track("t_25"), file="more.csv")
    deliver(raw(layout, "log_0"), log_of_more_tracks("log_0", 25))
    assert run(layout)["encoded_table"] == ["log_0"]
    deliver_tracks(layout, track("t_21"), track("t_25"), file="more.csv")
    made = run(layout)
    assert (made["merged_table"], made["encoded_table"]) == ([], ["log_0"])
    assert results(layout) == from_nothing(layout)


def test_a_changed_track_makes_the_shards_again_that_play_it(of_two_kinds: DataLayout) -> None:
    layout = of_two_kinds
    deliver_tracks(layout, *(t | {"tempo": 7.5} if t["track_id"] == "t_07" else t for t in TRACKS))
    assert run(layout) == {**everywhere("log_1"), "session_logs": []}
    assert results(layout) == from_nothing(layout)


@pytest.mark.slow
def test_a_track_that_changes_back_makes_its_shards_again(of_two_kinds: DataLayout) -> None:
    layout = of_two_kinds
    before = results(layout)
    for tempo in (7.5, 8.5):
        deliver_tracks(layout, *(t | {"tempo": tempo} if t["track_id"] == "t_07" else t for t in TRACKS))
        assert run(layout)["merged_table"] == ["log_1"]
    deliver_tracks(layout, *TRACKS)
    assert run(layout)["merged_table"] == ["log_1"]
    assert results(layout) == before


def test_a_track_that_is_gone_is_missed_by_the_shards_that_play_it(of_two_kinds: DataLayout) -> None:
    deliver_tracks(of_two_kinds, *(t for t in TRACKS if t["track_id"] != "t_07"))
    message = refusal(BadInputError, lambda: stages.merged_table(of_two_kinds))
    assert_says(message, "log_1.csv", "1 track without features", "'t_07'")
    assert "more failed" not in message


@pytest.mark.slow
def test_a_log_that_changes_with_the_tracks_gets_the_new_features(of_two_kinds: DataLayout) -> None:
    layout = of_two_kinds
    deliver_tracks(layout, *(t | {"tempo": 7.5} if t["track_id"] == "t_07" else t for t in TRACKS))
    deliver(raw(layout, "log_0"), log("log_0"))
    assert run(layout)["merged_table"] == ["log_0", "log_1"]
    assert results(layout) == from_nothing(layout)


@pytest.mark.slow
def test_shards_of_a_failed_run_are_not_taken_over_with_the_features_of_its_tracks(
    of_two_kinds: DataLayout,
) -> None:
    layout = of_two_kinds
    deliver(raw(layout, "log_0"), log("log_0"))
    whole = raw(layout, "log_2").read_bytes()
    for tempo, log_2 in ((7.5, b"not,a,log\n"), (8.5, whole)):
        deliver_tracks(layout, *(t | {"tempo": tempo} if t["track_id"] == "t_07" else t for t in TRACKS))
        deliver(raw(layout, "log_2"), log_2)
        if log_2 != whole:
            refusal(BadInputError, lambda: stages.merged_table(layout))
    run(layout)
    assert results(layout) == from_nothing(layout)


@pytest.mark.slow
def test_where_the_published_track_table_is_damaged_everything_is_made_again(layout: DataLayout) -> None:
    run(layout)
    (layout.merged / "_tracks.parquet").write_bytes(b"half a file")
    deliver_tracks(layout, track("t_99"), file="more.csv")
    assert run(layout)["merged_table"] == list(LOGS[:-1])
    assert results(layout) == from_nothing(layout)


# --- Groups of tracks -----------------------------------------------------------------------------------


def deliver_groups(layout: DataLayout, *tracks: Row, artist: int = 3) -> None:
    """Artist and album of each track; the album is the number in the track's id."""
    rows = [
        {"track_id": each["track_id"], "artist": artist, "album": int(each["track_id"][2:])}
        for each in reversed(tracks)
    ]
    deliver(layout.raw / settings.TRACK_GROUPS_FILE, rows)


def test_groups_of_own_listening_reach_the_bundles_in_the_order_of_the_tracks(layout: DataLayout) -> None:
    deliver_groups(layout, *TRACKS)
    own_listening(layout.raw)
    run(layout)
    groups = open_bundle(layout.bundles, "test").of_shards(["log_0"]).groups
    assert groups is not None
    assert groups.tolist() == [[3, number] for number in range(1, 21)]


def test_data_without_groups_has_the_same_files_as_ever(layout: DataLayout) -> None:
    run(layout)
    assert open_bundle(layout.bundles, "train").groups is None
    before = results(layout)
    deliver_groups(layout, *TRACKS)  # without the marker
    run(layout)
    assert results(layout) == before
    assert not [path for path in before if "groups" in path.name]
    assert "groups" not in (layout.bundles / "parts.json").read_text()


def test_other_groups_make_no_shard_again(layout: DataLayout) -> None:
    own_listening(layout.raw)
    for artist in (3, 4):
        deliver_groups(layout, *TRACKS, artist=artist)
        made = run(layout)
    assert made == everywhere()
    assert results(layout) == from_nothing(layout)
    groups = open_bundle(layout.bundles, "train").groups
    assert groups is not None
    assert set(groups[:, 0].tolist()) == {4}


def test_groups_that_go_leave_the_bundles(layout: DataLayout) -> None:
    own_listening(layout.raw)
    deliver_groups(layout, *TRACKS)
    run(layout)
    (layout.raw / settings.TRACK_GROUPS_FILE).unlink()
    own_listening(layout.raw)  # imported again, without groups
    run(layout)
    assert open_bundle(layout.bundles, "train").groups is None
    assert named(layout, "groups") == set()
    assert results(layout) == from_nothing(layout)


def test_a_track_that_the_groups_lack_is_named(layout: DataLayout) -> None:
    own_listening(layout.raw)
    deliver_groups(layout, *TRACKS[:-1])
    message = refusal(BadInputError, lambda: stages.merged_table(layout))
    assert_says(message, "track_groups.csv lacks 1 of 20 tracks", "'t_20'")


# --- Code that changes ----------------------------------------------------------------------------------


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Changes a module in a copy of the package, of which versions are taken."""
    package = tmp_path / "skip_pipeline"
    shutil.copytree(code_version._FOLDER, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_version, "_FOLDER", package)

    def forget() -> None:
        for found in (code_version._sources, code_version._imports_of, code_version._names_in):
            found.cache_clear()

    def edit(module: str) -> None:
        with (package / module).open("a") as file:
            file.write("# edited\n")
        forget()

    forget()
    yield edit
    forget()


@pytest.mark.slow
def test_code_that_no_shard_depends_on_makes_no_shard_again(
    layout: DataLayout, edit: Callable[[str], None]
) -> None:
    run(layout)
    for module in ("report/plots", "training/train", "stages/flow", "stages/checks", "settings"):
        edit(f"{module}.py")
        assert run(layout) == everywhere(), module


def test_code_of_a_stage_makes_its_shards_again_and_no_others(
    layout: DataLayout, edit: Callable[[str], None]
) -> None:
    run(layout)
    before = results(layout)
    for module, made in {
        "stages/merge": {"merged_table"},
        "stages/encode": {"encoded_table"},
        "stages/scale": {"scaled_table"},
        "stages/bundle": {"tensor_bundles"},
        "raw/csv_file": {"session_logs", "merged_table"},
        "schema": set(BY_SHARD),
    }.items():
        edit(f"{module}.py")
        assert {stage for stage, logs in run(layout).items() if logs} == made, module
        assert results(layout) == before


def test_a_setting_makes_the_shards_again_that_it_decides(
    layout: DataLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(layout)
    monkeypatch.setattr(settings, "MISTAKES_SHOWN", 11)
    assert run(layout) == everywhere()
    monkeypatch.setattr(settings, "SPLIT_SHARES", settings.SPLIT_SHARES | {"test": 0.21})
    assert run(layout) == {**everywhere(), "encoded_table": list(LOGS[:-1])}


# --- Logs that cannot be read ---------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["session_logs", "merged_table"])
def test_one_corrupt_log_is_named_and_costs_itself_alone_when_it_is_mended(
    layout: DataLayout, stage: str
) -> None:
    text = raw(layout, "log_1").read_text()
    raw(layout, "log_1").write_text(text.replace(",true,", ",maybe,", 1))
    message = refusal(BadInputError, lambda: STAGES[stage](layout))
    assert_says(message, str(raw(layout, "log_1")), "'maybe'", "true or false")
    assert "more failed" not in message

    raw(layout, "log_1").write_text(text)
    assert "log_1" in [Path(name).stem for name in staging_of(STAGES[stage](layout)).made]
    assert run(layout)[stage] == []
    assert results(layout) == from_nothing(layout)


def vanishing(name: str, path: Path) -> Apply:
    """Removes a log at the moment when its job, but not yet its identity, is asked for."""

    def apply(function: Callable[[Any], Any], shards: Sequence[Any], /) -> Iterable[Any]:
        for shard in shards:
            if isinstance(shard, ShardJob) and Path(shard.name).stem == name:
                path.unlink()
            yield function(shard)

    return apply


@pytest.mark.parametrize("stage", ["session_logs", "merged_table"])
def test_a_log_that_vanishes_in_mid_run_is_named_and_made_alone_when_it_is_back(
    layout: DataLayout, stage: str
) -> None:
    path = raw(layout, "log_1")
    content = path.read_bytes()
    message = refusal(MissingInputError, lambda: STAGES[stage](layout, apply=vanishing("log_1", path)))
    assert_says(message, str(path))
    assert not (folders(layout)[0] / MANIFEST).exists()  # nothing is published of half a set

    path.write_bytes(content)
    made = staging_of(STAGES[stage](layout)).made
    assert [Path(name).stem for name in made if not name.startswith("_")] == ["log_1"]
    run(layout)
    assert results(layout) == from_nothing(layout)


# --- A disk that is full --------------------------------------------------------------------------------


@pytest.fixture
def at_most() -> Iterator[Callable[[int], None]]:
    """Has every write beyond so many bytes of a file fail, as on a full disk, in the middle of the file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
