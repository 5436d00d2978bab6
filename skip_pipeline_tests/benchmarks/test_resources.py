"""The command without a resource, once; and what counts as a loss."""

import pytest

from benchmarks.torture import nights, resources
from benchmarks.torture.tally import REFUSED


@pytest.mark.slow
def test_a_full_disk_costs_nothing_and_the_next_run_completes(capsys):
    status = resources.main(["--times", "1", "--faults", "disk full"])
    told = capsys.readouterr().out
    assert status == 0, told
    assert "| disk full | 1 |" in told


@pytest.fixture
def tried(tmp_path, monkeypatch):
    """The outcome of a run that ends with a status and an output, over an empty data directory."""

    def outcome(status, output):
        ends = iter([(status, output), (0, "")])
        monkeypatch.setattr(resources, "run", lambda *_given: next(ends))
        return resources.try_one(tmp_path, {}, resources.Fault("none"), 0.5)[0]

    return outcome


def test_a_message_is_no_loss_and_a_traceback_or_a_signal_is_one(tried):
    assert tried(0, "done") == resources.COMPLETED
    assert tried(1, "error: no space; free some") == REFUSED
    assert tried(97, "") == resources.NOT_TRIED
    assert tried(1, "Traceback\nOSError: no space").startswith("no message")
    assert tried(-9, "error: killed") == "exit status -9"


def test_where_the_system_may_end_a_run_a_signal_is_no_loss(tmp_path, monkeypatch):
    ends = iter([(-6, ""), (0, "")])
    monkeypatch.setattr(resources, "run", lambda *_given: next(ends))
    fault = resources.Fault("out of memory", ends="ended by a signal")
    assert resources.try_one(tmp_path, {}, fault, 0.5)[0] == "ended by a signal"


def test_growth_is_told():
    steady = [nights.Night(100.0, 9, 5.0, 1.0)] * 5
    lost = {
        tally.fault: tally.lost for tally in nights.rows([*steady, *[nights.Night(100, 10, 5, 1)] * 5], 0)
    }
    assert lost["night after night: open files"] == [
        "9 on night 1, 10 on night 10, more than 1.0 times as much"
    ]
    assert [fault for fault, words in lost.items() if words] == ["night after night: open files"]
