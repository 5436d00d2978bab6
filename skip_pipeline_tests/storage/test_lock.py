"""One writer at a time on this machine."""

import threading

import pytest

from skip_pipeline.errors import BusyError
from skip_pipeline.storage import publish
from skip_pipeline_tests.builders import assert_says
from skip_pipeline_tests.storage.publishing import FIRST, SECOND, contents, put


@pytest.mark.usefixtures("_impatient")
def test_a_second_publisher_is_told_that_the_first_is_at_work(folder):
    put(folder, FIRST)
    caught = []

    def intrude():
        try:
            put(folder, SECOND)
        except BusyError as busy:
            caught.append(str(busy))

    with publish(folder, stage="some_table", data_source="real") as staging:
        staging.path("mine.txt").write_text("3")
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()

    [message] = caught
    assert_says(message, str(folder), "another process is writing", "let it finish or stop it")
    assert contents(folder) == {"mine.txt": "3"}
