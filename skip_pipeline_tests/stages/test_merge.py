import pytest

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.session_log import SESSION_LOG
from skip_pipeline.raw.text_columns import dictionary_text
from skip_pipeline.stages.merge import MERGED, merge
from skip_pipeline_tests.builders import assert_says, log_table, refusal, session, track, track_table


def test_a_row_gets_the_attributes_of_its_track():
    [row, *_] = session("s1", 10, track_id_clean="t_07")
    played = track("t_07", energy=0.5, key=11, mode="minor")

    merged = merge(log_table([row]), track_table(track("t_05"), played, track("t_09")), shard="log.csv")

    assert merged.to_pylist() == [row | {name: played[name] for name in played if name != "track_id"}]
    assert merged.schema.equals(MERGED)


def test_rows_keep_number_and_order_whatever_the_order_of_the_tracks():
    played = ["t_03", "t_01", "t_03", "t_02", "t_01", "t_03", "t_02", "t_02", "t_01", "t_03"]
    log = log_table(session(track_id_clean=played))
    merged = merge(log, track_table(track("t_02"), track("t_03"), track("t_01")), shard="log.csv")
    assert merged.select(log.column_names).cast(schema.SESSION_LOG).equals(log)
    assert merged["tempo"].to_pylist() == [int(name[-1]) + 0.25 for name in played]


def test_tracks_that_nobody_played_add_nothing():
    log = log_table(session(track_id_clean="t_01"))
    alone = merge(log, track_table(track("t_01")), shard="log.csv")
    assert merge(log, track_table(track("t_00"), track("t_01"), track("t_02")), shard="log.csv").equals(alone)


def test_a_track_without_features_is_named_with_file_column_and_rows():
    log = log_table(session(track_id_clean=["t_01"] * 4 + ["t_98", "t_99", "t_98"] + ["t_01"] * 3))
    message = refusal(BadInputError, lambda: merge(log, track_table(track("t_01")), shard="raw/log.csv"))
    assert_says(
        message,
        "raw/log.csv: column track_id_clean names 2 tracks without features, first in data rows "
        "5 ('t_98'), 6 ('t_99') (in order of",
        "Expected every track in a file of the folder track_features",
        "deliver what is missing there, or remove those sessions",
    )


def test_one_track_without_features_is_named_once():
    log = log_table(session(track_id_clean=["t_01"] * 2 + ["t_99"] * 8))
    message = refusal(BadInputError, lambda: merge(log, track_table(track("t_01")), shard="raw/log.csv"))
    assert "names 1 track without features, first in data row 3 ('t_99') (in order of" in message


def test_the_dictionary_of_track_ids_has_those_that_were_played():
    log = log_table(session(track_id_clean=["t_09", "t_03"] * 5))
    ids = merge(log, track_table(), shard="log.csv")["track_id_clean"].chunk(0)
    assert ids.dictionary.to_pylist() == ["t_03", "t_09"]
    assert ids.indices.to_pylist() == [1, 0] * 5


@pytest.mark.parametrize("log_text", [schema.SESSION_LOG, SESSION_LOG, dictionary_text(schema.SESSION_LOG)])
@pytest.mark.parametrize("track_text", [schema.TRACK_FEATURES, dictionary_text(schema.TRACK_FEATURES)])
def test_text_may_come_as_strings_or_dictionaries(log_text, track_text):
    log = log_table(session("s1", track_id_clean=["t_02", "t_01"] * 5, context_type=["radio", "car"] * 5))
    tracks = track_table(track("t_02", mode="minor"), track("t_01"))
    expected = merge(log, tracks, shard="log.csv")
    assert merge(log.cast(log_text), tracks.cast(track_text), shard="log.csv").equals(expected)
