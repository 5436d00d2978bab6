"""Whole numbers and flags as pandas writes them are read alike in CSV, parquet and JSON."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from skip_pipeline.errors import BadInputError
from skip_pipeline.serving.logs import read_whole_log
from skip_pipeline.serving.requests import sessions_of_json
from skip_pipeline_tests.builders import assert_says, own_listening, refusal
from skip_pipeline_tests.serving.small_models import SESSIONS, request

ROWS = SESSIONS[3]
WHOLE = ("session_position", "session_length", "hist_user_behavior_n_seekfwd", "hour_of_day")
FLAGS = ("skip_1", "not_skipped", "context_switch", "hist_user_behavior_is_shuffle", "premium")


@pytest.fixture
def read(tmp_path):
    """Read a log as one of three kinds of file."""

    def read(log: pd.DataFrame, kind: str):
        path = tmp_path / "01_raw" / "training_set" / f"log.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "json":
            rows = [{str(name): value for name, value in row.items()} for row in log.to_dict("records")]
            path.write_text(json.dumps({"inputs": request(rows)}))
            return sessions_of_json(path.read_bytes())
        log.to_csv(path, index=False) if kind == "csv" else log.to_parquet(path)
        return read_whole_log(path)

    return read


def as_floats(*columns: str) -> pd.DataFrame:
    return pd.DataFrame(ROWS).astype(dict.fromkeys(columns, float))


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
@pytest.mark.parametrize("column", [*WHOLE, *FLAGS])
def test_a_column_of_floats_is_read_as_the_numbers_that_it_holds(read, kind, column):
    plain, floats = read(pd.DataFrame(ROWS), kind), read(as_floats(column), kind)
    np.testing.assert_array_equal(floats.rows, plain.rows)
    for name in ("length", "hour", "premium"):
        found = getattr(floats, name)
        assert found.dtype == np.int64
        assert found.tolist() == getattr(plain, name).tolist()


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
@pytest.mark.parametrize("column", [*WHOLE, *FLAGS])
def test_a_fraction_is_refused_by_column_and_value(read, kind, column):
    log = as_floats(column)
    log.loc[1, column] = 0.5
    message = refusal(BadInputError, lambda: read(log, kind))
    assert_says(message, f"{column} is ", "0.5")
    assert re.search("(is not|expected) (true or false|a whole number from)", message)


@pytest.mark.parametrize("column", ["session_length", "hour_of_day", "premium"])
def test_nan_in_a_request_is_a_value_that_is_not_known(read, column):
    unknown, nulls = as_floats(column), pd.DataFrame(ROWS).astype({column: object})
    unknown[column], nulls[column] = math.nan, None
    with_nan, with_none = read(unknown, "json"), read(nulls, "json")
    for name in ("length", "hour", "premium"):
        assert getattr(with_nan, name).tolist() == getattr(with_none, name).tolist()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_own_listening_does_not_know_may_be_missing_as_pandas_writes_it(read, tmp_path, kind):
    own_listening(tmp_path / "01_raw", "premium", "hist_user_behavior_n_seekfwd")
    log = as_floats("premium", "hist_user_behavior_n_seekfwd")
    log["premium"] = math.nan
    log.loc[2, "hist_user_behavior_n_seekfwd"] = math.nan
    found, plain = read(log, kind), read(pd.DataFrame(ROWS), kind)
    assert found.premium.tolist() == [-1]
    seeks = plain.rows["hist_user_behavior_n_seekfwd"].tolist()
    assert found.rows["hist_user_behavior_n_seekfwd"].tolist() == [*seeks[:2], 0, *seeks[3:]]
