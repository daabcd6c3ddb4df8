"""The peers benchmark: its conclusions from readings, and the answers that its load accepts as whole."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.figures import Interval, median_interval
from benchmarks.peers import chart, report
from benchmarks.peers.comparison import FULL, Comparison, Reading, turned
from benchmarks.peers.header_work import lacking
from benchmarks.peers.latency import added, complete
from benchmarks.peers.stream_backend import chunk
from benchmarks.peers.work import WORKS, chosen
from benchmarks.program import BenchmarkError

SMALL = WORKS[0]
LATENCY = next(work for work in WORKS if work.kind == "latency")


def _readings(peer: str, figures: list[float], first: int = 0) -> list[Reading]:
    return [Reading("a", peer, first + i, {"figure": figure}) for i, figure in enumerate(figures)]


def test_a_constant_value_has_no_width() -> None:
    assert median_interval([3.0, 3.0, 3.0]) == Interval(3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("letters", "keys"),
    [
        pytest.param("a,b", ["a", "b"], id="single works"),
        pytest.param("c", ["c-100k", "c-10m"], id="a letter names all its works"),
        pytest.param(" c-10m , a", ["a", "c-10m"], id="in the order of the list"),
    ],
)
def test_works_are_chosen_by_letter(letters: str, keys: list[str]) -> None:
    assert [work.key for work in chosen(letters)] == keys


def test_an_unknown_work_is_refused() -> None:
    with pytest.raises(ValueError, match="no work 'z'"):
        chosen("a,z")


def test_nobody_is_always_first() -> None:
    assert [turned(["x", "y", "z"], by) for by in range(4)] == [
        ["x", "y", "z"],
        ["y", "z", "x"],
        ["z", "x", "y"],
        ["x", "y", "z"],
    ]
    assert turned([], 3) == []


def test_only_rounds_that_both_have_are_compared() -> None:
    readings = _readings("router", [10.0, 20.0, 30.0]) + _readings("envoy", [60.0, 90.0], first=1)
    assert report.paired(readings, "a", "router", "envoy", "figure") == ([20.0, 30.0], [60.0, 90.0])


def test_the_summary_has_the_ratio_within_rounds() -> None:
    readings = _readings("router", [10.0, 40.0, 20.0]) + _readings("nginx", [20.0, 80.0, 40.0])
    same = {"median": 0.5, "low": 0.5, "high": 0.5}
    found = report.summary(readings, SMALL)
    assert list(found) == ["router", "nginx"]
    assert found["nginx"]["figure"] == 40.0
    assert found["nginx"]["router_ratio"] == same
    assert found["nginx"]["rounds"] == 3


def test_a_latency_is_compared_as_a_difference_of_what_was_added() -> None:
    direct = {"p50_us": 100.0, "p99_us": 200.0, "p999_us": 300.0}
    ours = {"p50_us": 150.0, "p99_us": 290.0, "p999_us": 500.0}
    nginx = {"p50_us": 140.0, "p99_us": 190.0, "p999_us": 400.0}
    readings = [
        Reading("f", name, 0, added(values, direct))
        for name, values in (("direct", direct), ("router", ours), ("nginx", nginx))
    ]
    found = report.summary(readings, LATENCY)
    assert found["router"]["figure"] == 90.0
    assert found["nginx"]["figure"] == -10.0
    assert found["nginx"]["router_p99_us_above"] == {"median": 100.0, "low": 100.0, "high": 100.0}
    assert found["direct"]["added_p50_us"] == 0.0


@pytest.mark.parametrize(
    ("median", "high", "met"),
    [
        pytest.param(1.0, 1.05, True, id="at the bar, interval within the tolerance"),
        pytest.param(1.0, 1.051, False, id="the interval ends too high"),
        pytest.param(1.001, 1.002, False, id="the median is above"),
    ],
)
def test_a_bar(median: float, high: float, met: bool) -> None:
    ratio = {"median": median, "low": 0.9, "high": high}
    assert report.bars({"a": {"nginx": {"router_ratio": ratio}}}) == [
        {"bar": "(a) router ÷ nginx", "limit": 1.0, "came": ratio, "met": met}
    ]


@pytest.mark.parametrize(
    ("response", "whole"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", False, id="half a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", False, id="half a body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True, id="all of it"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", False, id="no last chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True, id="chunked"),
    ],
)
def test_a_whole_answer(response: bytes, whole: bool) -> None:
    assert complete(response) is whole


def test_another_status_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="503"):
        complete(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


def test_an_http_chunk() -> None:
    assert chunk(b"data: [DONE]\n\n") == b"e\r\ndata: [DONE]\n\n\r\n"


def test_the_header_work_that_is_not_done_is_named() -> None:
    host = "127.0.0.1:80"
    seen = {
        "host": host,
        "x_forwarded_for": "127.0.0.1",
        "x_forwarded_proto": "http",
        "x_forwarded_host": host,
        "x_request_id": "made",
    }
    answer = {"x-request-id": "made", "x-served-version": "v1"}
    kept, seen_kept = answer | {"x-request-id": "given-id"}, seen | {"x_request_id": "given-id"}
    assert lacking(host, answer, seen, kept, seen_kept) == []
    nothing = dict.fromkeys(seen, "")
    assert lacking(host, {}, nothing, {}, nothing) == [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "host",
        "x-request-id created and answered",
        "x-request-id kept and answered",
        "x-served-version",
    ]


def test_the_axis_of_the_chart_holds_everything() -> None:
    assert chart.axis([("(a)", [("envoy", Interval(3.0, 2.5, 12.0), "")])]) == (0.5, 20)
    assert chart.axis([("(a)", [("nginx", Interval(0.4, 0.3, 0.5), "")])]) == (0.2, 2)


@pytest.mark.parametrize(("ratio", "x"), [(0.5, chart.LEFT), (1.0, 385), (2.0, chart.RIGHT), (9.0, chart.RIGHT)])
def test_a_place_on_the_axis(ratio: float, x: float) -> None:
    assert chart.position(ratio, 0.5, 2) == x


def test_the_chart_is_a_document_with_a_dot_per_peer() -> None:
    rows = [("router", Interval(1.0, 1.0, 1.0), "12 µs"), ("a & b", Interval(3.0, 2.5, 3.5), "36 µs")]
    root = ElementTree.fromstring(chart.draw([("(a) small", rows), ("(c) nobody", [])], "7 rounds"))
    name = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{name}circle")) == 2
    words = [text.text for text in root.findall(f"{name}text")]
    assert "a & b" in words
    assert "× 3.00 · 36 µs" in words
    assert "(c) nobody" not in words


def _names(number: int, letter: str, tmp_path: Path) -> list[str]:
    peers = ["nginx", "haproxy", "envoy", "vllm-router", "litellm"]
    return Comparison(peers, {}, list(WORKS), FULL, tmp_path)._names_for(chosen(letter)[0], number)


@pytest.mark.parametrize(
    ("number", "letter", "names"),
    [
        pytest.param(0, "a", "router nginx haproxy envoy vllm-router litellm", id="first round: everybody"),
        pytest.param(6, "a", "router nginx haproxy", id="last round: where the bar is close"),
        pytest.param(0, "c", "router nginx haproxy envoy", id="a gateway has no route for it"),
        pytest.param(0, "f", "router nginx haproxy envoy vllm-router", id="too slow a peer for it"),
        pytest.param(0, "h", "router nginx haproxy envoy", id="who can run two workers"),
    ],
)
def test_who_takes_part_when(number: int, letter: str, names: str, tmp_path: Path) -> None:
    assert _names(number, letter, tmp_path) == names.split()
