"""Values that own listening does not know, from the raw files to the bundles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles import Bundle, open_bundles
from skip_pipeline.bundles.leak import find_leaks, wide_form
from skip_pipeline.errors import BadInputError
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import checks, findings, track_table
from skip_pipeline.stages import flow as stages
from skip_pipeline.stages.bundle import bundle_shard
from skip_pipeline.stages.encode import encode, feature_range, sessions
from skip_pipeline.stages.merge import merge
from skip_pipeline.stages.scale import Scaler, fit_scaler
from skip_pipeline.stages.track_matrix import scale_tracks
from skip_pipeline.storage import read_manifest, read_table, write_table
from skip_pipeline_tests.builders import (
    GATE,
    TEST,
    TRACKS,
    TRAIN,
    VALIDATION,
    Row,
    assert_says,
    deliver,
    log_table,
    own_listening,
    refusal,
    session,
    track,
)
from skip_pipeline_tests.builders import track_table as tracks_of
from skip_pipeline_tests.stages.shard_builders import WIDE, same

UNKNOWN = {"context_switch": None, "hist_user_behavior_n_seekfwd": None, "premium": None, "context_type": ""}
SOUND = ("energy", "key")  # known of the first ten tracks alone
NOWHERE = ("tempo", "mode")  # known of no track
OF_TRACKS = [
    track(f"t_{i:02}", tempo=None, mode="", **({} if i <= 10 else dict.fromkeys(SOUND))) for i in range(1, 21)
]
COLUMNS = (*UNKNOWN, "hist_user_behavior_n_seekback", *SOUND, *NOWHERE)


def scaled(*parts: Sequence[Row], tracks: pa.Table | None = None) -> tuple[Any, ...]:
    """Encoded and scaled rows of some sessions, the sessions, and the scaler of all of them."""
    tracks = tracks_of(*OF_TRACKS) if tracks is None else tracks
    merged = merge(log_table(*parts), tracks, shard="log.csv")
    encoded, own = encode(merged, tracks["track_id"]), sessions(merged)
    scaler = fit_scaler([feature_range(encoded, own, ("energy", "key", "tempo"))])
    return encoded, scaler.apply(encoded)[0], own, scaler


# --- Tables in memory -----------------------------------------------------------------------------------


def test_unknown_values_are_0_or_null_in_the_encoded_table() -> None:
    encoded, *_ = scaled(session(TRAIN, 20, **UNKNOWN))
    assert encoded.schema.equals(schema.ENCODED)
    assert {name for name in encoded.column_names if encoded[name].null_count} == {"premium", "tempo", *SOUND}
    for name in ("context_switch", "hist_user_behavior_n_seekfwd", *schema.indicators("context_type")):
        assert encoded[name].to_pylist() == [0] * 20, name
    assert encoded["premium"].to_pylist() == [None] * 20
    assert encoded["key"].to_pylist() == [*(i % 12 for i in range(1, 11)), *[None] * 10]


def test_known_values_beside_unknown_ones_stay() -> None:
    encoded, *_ = scaled(session(TRAIN, 10, context_switch=[1, None] * 5, premium=[True, None] * 5))
    assert encoded["context_switch"].to_pylist() == [1, 0] * 5
    assert encoded["premium"].to_pylist() == [1, None] * 5


def test_a_missing_feature_is_the_mean_of_the_known_training_values() -> None:
    # Tracks 1 to 10 have energy 1.25 to 10.25; training plays 1, 2, 6 and eleven times one without any.
    played = ["t_01", "t_02", "t_06", *["t_11"] * 11]
    encoded, table, _, scaler = scaled(
        session(TRAIN, 14, track_id_clean=played), session(TEST, 10, track_id_clean=["t_09", *["t_12"] * 9])
    )
    mean = np.float32((0 + 1 + 5) / 15)
    assert table["energy"].to_pylist() == [
        *map(pytest.approx, [0.0, 0.2, 1.0]),
        *[pytest.approx(mean)] * 11,
        1.0,
        *[pytest.approx(mean)] * 9,
    ]
    assert table["energy"].null_count == encoded["energy"].null_count - 20 == 0
    energy = schema.SCALED_FEATURES.index("energy")
    assert (scaler.low[energy], scaler.high[energy]) == (1.25, 6.25)


def test_a_feature_that_is_known_of_no_track_in_training_is_one_half() -> None:
    _, table, _, scaler = scaled(
        session(TRAIN, track_id_clean=["t_11", "t_12"] * 5), session(TEST, track_id_clean=["t_01"] * 10)
    )
    assert table["tempo"].to_pylist() == [0.5] * 20  # of no track at all
    assert table["energy"].to_pylist() == [0.5] * 20  # of one that only a test session plays
    assert np.isnan(scaler.low[schema.SCALED_FEATURES.index("energy")])


def test_shards_without_a_value_of_a_feature_leave_its_range_to_the_others() -> None:
    tracks = tracks_of(*OF_TRACKS)
    known, unknown = (
        feature_range(encode(merged, tracks["track_id"]), sessions(merged), ("energy", "key", "tempo"))
        for merged in (
            merge(log_table(session(own, track_id_clean=played)), tracks, shard="log.csv")
            for own, played in (("s0", ["t_01", "t_05"] * 5), ("s1", ["t_11", "t_12"] * 5))
        )
    )
    energy = schema.SCALED_FEATURES.index("energy")
    assert unknown is not None
    assert (unknown["low"][energy], unknown["sum"]["energy"], unknown["known"]["energy"]) == (None, 0.0, 0)
    scaler = fit_scaler([unknown, known])
    assert (scaler.low[energy], scaler.high[energy], scaler.fill[energy]) == (1.25, 5.25, 0.5)


def test_a_scaler_with_missing_features_survives_json() -> None:
    *_, scaler = scaled(session(TRAIN, 20))
    content = scaler.to_json()
    assert content["low"][schema.SCALED_FEATURES.index("tempo")] is None
    assert Scaler.from_json(content).to_json() == content
    table, again = (
        each.apply(scaled(session(TRAIN, 20))[0])[0] for each in (scaler, Scaler.from_json(content))
    )
    assert table.equals(again)


def test_a_scaler_of_before_knew_every_feature() -> None:
    *_, scaler = scaled(session(TRAIN, 20), tracks=tracks_of())
    content = scaler.to_json()
    del content["fill"]
    assert np.array_equal(Scaler.from_json(content).low, scaler.low)
    assert np.isnan(Scaler.from_json(content).fill).all()


def test_the_bundle_has_the_neutral_encoding_and_does_not_know_premium() -> None:
    encoded, table, own, scaler = scaled(
        session(TRAIN, 20, **UNKNOWN),
        session(VALIDATION, 12),
        session(GATE, 14, premium=[True, *[None] * 13]),
        session(TEST, 13, premium=[False, *[None] * 12]),
    )
    tracks = scale_tracks(tracks_of(*OF_TRACKS), scaler)
    assert np.isfinite(tracks).all()
    parts = bundle_shard("log", table, own, track_rows=encoded["track_id_clean"], tracks=tracks)
    bundles = {split: Bundle(tracks, [parts[split]]) for split in schema.SPLITS}
    premium = {split: bundle.circumstances[0, -1] for split, bundle in bundles.items()}
    assert premium == {"train": 0.0, "validation": 0.5, "gate": 0.5, "test": -0.5}
    wide = wide_form(table, own)
    assert all(same(bundles[split], wide[split], WIDE) for split in schema.SPLITS)
    assert find_leaks(table, own, bundles) == []


def test_premium_that_would_come_from_the_predicted_row_is_a_leak() -> None:
    _, table, own, _ = scaled(session(TRAIN, 10, premium=[None] * 9 + [True]))
    wide = wide_form(table, own)
    wide["train"]["circumstances"][0, -1] = 0.5
    assert find_leaks(table, own, wide) == ["circumstances"]


# --- Track tables -----------------------------------------------------------------------------------------


def test_a_track_changes_where_a_feature_becomes_known_or_unknown(tmp_path: Path) -> None:
    rows = {
        "before": [track("t_1", tempo=None), track("t_2", tempo=None), track("t_3"), track("t_4")],
        "after": [track("t_1", tempo=None), track("t_2"), track("t_3", tempo=None), track("t_4")],
    }
    for name, tracks in rows.items():
        write_table(
            tracks_of(*tracks),
            tmp_path / name,
            schema.TRACK_FEATURES,
            data_source="real",
            may_be_null=("tempo", "key"),
        )
    changed = track_table.changed_tracks(tmp_path / "before", tmp_path / "after")
    assert changed.to_pylist() == ["t_2", "t_3"]
    assert track_table.incomplete_features(tmp_path / "after") == ("tempo",)


# --- Stages -----------------------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path: Path) -> DataLayout:
    """Two months of own listening as an import writes them, not yet worked on."""
    made = DataLayout(tmp_path / "data")
    raw = made.root / "01_raw"
    deliver(raw / "track_features" / "tf.csv", OF_TRACKS)
    for month, ids in (("01", (TRAIN, TEST)), ("02", ("s1", VALIDATION))):
        rows = [row for own in ids for row in session(own, 20, **UNKNOWN)]
        deliver(raw / "training_set" / f"log_0_2024{month}01_000000000000.csv", rows)
    own_listening(raw, *COLUMNS)
    return made


def run(layout: DataLayout) -> dict[str, list[str]]:
    """All stages, and which shards of each were made."""
    made: dict[str, Any] = {
        "session_logs": stages.session_logs(layout).staging,
        "track_features": stages.track_features(layout).staging,
        "merged": stages.merged_table(layout).staging,
        "encoded": stages.encoded_table(layout),
        "scaled": stages.scaled_table(layout),
        "bundles": stages.tensor_bundles(layout),
    }
    return {name: sorted(staging.made) for name, staging in made.items()}


def test_the_stages_take_what_is_unknown_and_pass_every_check(layout: DataLayout) -> None:
    run(layout)
    merged = read_manifest(layout.merged, made_by="merged_table")
    assert set(merged.details["unknown"]) == set(COLUMNS)
    table = read_table(merged.path("log_0_20240101_000000000000.parquet"), schema.MERGED)
    assert table["premium"].null_count == table["tempo"].null_count == 40
    assert set(table["context_type"].to_pylist()) == {""}
    assert stages.encoded_table(layout).details["values_of_unknown_level"] == 0
    for folder, contract in (
        (layout.merged, checks.MERGED),
        (layout.encoded, checks.ENCODED),
        (layout.scaled, checks.SCALED),
    ):
        found = checks.judge_table(layout, folder, contract, expected_rows=80)
        assert [finding for finding in found if not finding.passed] == []
    assert checks.find_bundle_leaks(layout) == {
        f"log_0_2024{month}01_000000000000.parquet": [] for month in ("01", "02")
    }
    bundles = open_bundles(layout.bundles, schema.SPLITS)
    assert sum(bundle.sessions for bundle in bundles.values()) == 4
    assert all(
        np.isfinite(bundle[name][:]).all() for bundle in bundles.values() for name in schema.BRANCH_SHAPES
    )


def test_nulls_that_no_manifest_declares_fail_the_check(layout: DataLayout) -> None:
    run(layout)
    manifest = read_manifest(layout.merged, made_by="merged_table")
    manifest.own_path.write_text(manifest.own_path.read_text().replace('"premium"', '"mode"'))
    found = checks.judge_table(layout, layout.merged, checks.MERGED, expected_rows=80)
    [complete] = [finding for finding in found if finding.name == findings.COMPLETE]
    assert complete.facts == {
        f"log_0_2024{month}01_000000000000.parquet: premium": 40 for month in ("01", "02")
    }


def test_what_is_unknown_is_a_fact_and_no_warning(layout: DataLayout) -> None:
    logs, tracks = stages.session_logs(layout), stages.track_features(layout)
    assert logs.unknown == (
        "context_switch",
        "hist_user_behavior_n_seekfwd",
        "hist_user_behavior_n_seekback",
        "premium",
        "context_type",
    )
    assert tracks.findings[0].facts["unknown in own listening"] == "energy, key, mode, tempo"
    assert all(finding.passed for finding in tracks.findings)
    assert logs.summary.unknown_levels == {}


def test_an_import_that_changes_only_counts_makes_nothing_again(layout: DataLayout) -> None:
    run(layout)
    own_listening(layout.raw, *reversed(COLUMNS), plays=81, last_day="2024-04-30")
    assert {shard for made in run(layout).values() for shard in made} == set()


def test_another_set_of_unknown_columns_makes_the_tables_again(layout: DataLayout) -> None:
    run(layout)
    own_listening(layout.raw, *COLUMNS, "valence")
    made = run(layout)
    assert made["track_features"] == ["_tracks.parquet"]
    assert made["session_logs"] == []  # no log has that column
    own_listening(layout.raw, *(name for name in COLUMNS if name != "premium"))
    message = refusal(BadInputError, lambda: stages.session_logs(layout))
    assert_says(message, "column premium has no value in data rows 1, 2")
    message = refusal(BadInputError, lambda: stages.merged_table(layout))
    assert_says(message, "column premium has no value in data rows 1, 2")


def test_without_the_marker_the_empty_cells_are_refused(layout: DataLayout) -> None:
    (layout.raw / "OWN_LISTENING.json").unlink()
    assert_says(refusal(BadInputError, lambda: stages.session_logs(layout)), "has no value", "Fill in")
    assert_says(refusal(BadInputError, lambda: stages.track_features(layout)), "has no value", "Fill in")


def test_features_that_become_known_make_the_shards_again_that_play_their_tracks(layout: DataLayout) -> None:
    run(layout)
    deliver(layout.raw / "track_features" / "tf.csv", [row | {"mode": "major"} for row in OF_TRACKS[:5]])
    deliver(layout.raw / "track_features" / "more.csv", OF_TRACKS[5:])
    shards = [f"log_0_2024{month}01_000000000000.parquet" for month in ("01", "02")]
    assert run(layout)["merged"] == ["_tracks.parquet", *shards]
    deliver(layout.raw / "track_features" / "tf.csv", TRACKS[:5])
    assert run(layout)["bundles"] == ["_tracks", *shards]
    assert np.isfinite(open_bundles(layout.bundles)["train"].previous_tracks[:]).all()
