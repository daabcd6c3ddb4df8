from __future__ import annotations

import io
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from router.control.history import advice_process
from router.control.history.advice_process import Job, advice, decode, main
from router.control.store.history_file import FILE, HistoryFile
from router.rollout.history.advice import KnownRollback
from router.rollout.judge.rules import ErrorRateRule, LatencyRule, Rules, WindowPair
from tests.rollout.simulator import normal
from tests.rollout.stored_rows import WALL_MS, Recording
from tests.texts import golden


def kept(folder: Path, recording: Recording) -> str:
    file = HistoryFile.opened(folder / FILE)
    file.write("svc", 1, recording.rows, {}, 0)
    file.close()
    return str(folder / FILE)


def job(path: str, recording: Recording, *rollbacks: KnownRollback, rules: Rules | None = None) -> Job:
    until_ms = int(recording.wall_s * 1000) + 1
    return Job(path, "svc", 0, until_ms, rules or Rules(), 120.0, rollbacks, (), 1.0)


def recording() -> Recording:
    """Eight hours of nothing, then twenty minutes of 30 % faults, of which the rows say that the rule observed them."""
    return Recording().play(8 * 3600).play(100, faults=0.3).play(1100, faults=0.3, failing="error_rate!")


def test_a_job_goes_through_a_pipe_and_is_the_same() -> None:
    rules = Rules(
        error_rate=ErrorRateRule(action="observe", windows=(WindowPair(30.0, 5.0, 10),)),
        latency=LatencyRule(slo_ms=5.0),
    )
    sent = Job(
        "/x", "svc", 1, 2, rules, 5.0, (KnownRollback(1.5, "v1", "an operator"),), ((7, normal(0.01).as_dict()),), 2.5
    )
    assert decode(sent.encode()) == sent


def test_advice_from_rows_to_settings(tmp_path: Path) -> None:
    past = recording()
    happened = KnownRollback(past.wall_s, "v1", "an operator")
    rules = Rules(error_rate=ErrorRateRule(action="observe"))
    found = advice(job(kept(tmp_path, past), past, happened, rules=rules))
    present = found["kinds"]["error_rate"]["trials"][0]
    assert found["kinds"]["error_rate"]["action"] == "observe"
    assert (present["name"], present["caught"], present["false"]) == ("as it is", [0], 0)
    assert present["leads_s"] == [pytest.approx(1_180, abs=30)]
    assert found["kinds"]["error_rate"]["why"] == golden("advice.too_short")
    assert found["settings"] == ""
    assert (found["days"], found["rows"]) == (pytest.approx(30_000 / 86_400, abs=1e-3), len(past.rows))
    assert found["observed"] == [
        {"trigger": "error_rate", "version": "v1", "at_ms": WALL_MS + 28_900_000, "until_ms": WALL_MS + 30_000_000}
    ]
    assert found["rollbacks"] == [{"at_s": past.wall_s, "left": "v1", "by": "an operator"}]


def test_the_baseline_of_that_time_counts(tmp_path: Path) -> None:
    past = recording()
    asked = job(kept(tmp_path, past), past)
    used_to_it = Job(*[getattr(asked, name) for name in asked.__slots__[:7]], ((0, normal(0.3).as_dict()),), 1.0)
    assert [one["alarms"] for one in advice(asked)["kinds"]["error_rate"]["trials"]] == [1] * 5
    assert [one["alarms"] for one in advice(used_to_it)["kinds"]["error_rate"]["trials"]] == [0] * 5


def test_without_rows_it_says_so(tmp_path: Path) -> None:
    found = advice(job(kept(tmp_path, Recording()), Recording()))
    assert (found["rows"], found["days"], found["settings"]) == (0, 0, "")
    assert found["kinds"]["latency"]["trials"][0]["false_per_month_between"] is None


def test_the_process_reads_a_job_and_writes_the_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    past = Recording().play(600)
    given, written, alarms = io.BytesIO(job(kept(tmp_path, past), past).encode()), io.BytesIO(), []
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=given))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=written))
    monkeypatch.setattr(advice_process.signal, "alarm", alarms.append)
    monkeypatch.setattr(advice_process.os, "nice", alarms.append)
    assert main() == 0
    assert orjson.loads(written.getvalue())["rows"] == 60
    assert alarms == [advice_process.LIFE_MAX_S, advice_process.NICE], "it gives way, and ends itself"


def test_a_history_that_cannot_be_read_ends_with_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = job(str(tmp_path / "none.sqlite"), Recording())
    with pytest.raises(sqlite3.OperationalError):
        advice(asked)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(asked.encode())))
    monkeypatch.setattr(advice_process.signal, "alarm", lambda seconds: None)
    monkeypatch.setattr(advice_process.os, "nice", lambda more: None)
    assert main() == advice_process.EXIT_UNREADABLE
    assert capsys.readouterr().err == "unable to open database file\n"
