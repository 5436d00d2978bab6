"""The audit of pinned versions: what it asks, and that it says why it cannot."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import audit
from benchmarks.server_process import free_port


@pytest.fixture
def pinned(tmp_path: Path) -> str:
    path = tmp_path / "constraints.txt"
    path.write_text("numpy==2.0\n")
    return str(path)


@pytest.mark.parametrize("status", [0, 1])
def test_pip_audit_decides(pinned: str, status: int) -> None:
    asked: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> int:
        asked.append(command)
        return status

    assert audit.main([pinned], reason=lambda: None, run=run) == status
    assert asked[0][1:5] == ["-m", "pip_audit", "--requirement", pinned]


def test_without_a_database_the_reason_is_printed(pinned: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main([pinned], reason=lambda: "no network") == 0
    assert capsys.readouterr().out == "audit skipped: no network\n"


def test_a_database_that_is_not_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    address = f"http://127.0.0.1:{free_port()}"
    assert f"{address} gave no answer" in str(audit.why_not(address))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert "pip-audit is not installed" in str(audit.why_not(address))
