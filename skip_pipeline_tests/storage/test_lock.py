"""One writer at a time on this machine."""

import threading

import pytest

from skip_pipeline.errors import BusyError
from skip_pipeline.storage import locked
from skip_pipeline_tests.builders import assert_says, refusal


@pytest.mark.usefixtures("_impatient")
def test_a_folder_that_another_holds_is_refused_until_it_is_let_go(tmp_path):
    with locked(tmp_path):
        message = refusal(BusyError, lambda: locked(tmp_path).__enter__())
    assert_says(message, str(tmp_path), "another process is writing", "let it finish or stop it")
    with locked(tmp_path):
        pass


def test_a_folder_is_let_go_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path, patience=0.0):
        pass


def test_a_writer_waits_for_one_that_is_about_to_end(tmp_path):
    entered, let_go = threading.Event(), threading.Event()

    def hold():
        with locked(tmp_path):
            entered.set()
            let_go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)
    threading.Timer(0.1, let_go.set).start()
    with locked(tmp_path):
        assert let_go.is_set()
    thread.join()
