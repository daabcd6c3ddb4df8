"""The peers benchmark: its conclusions from readings, and the answers that its load accepts as whole."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.build import Build
from benchmarks.figures import Interval, median_interval
from benchmarks.peers import chart, report, rest
from benchmarks.peers.comparison import FULL, Comparison, Reading, turned
from benchmarks.peers.header_work import lacking
from benchmarks.peers.latency import added, complete
from benchmarks.peers.peer import CONF, DEBIAN, PEERS, filled
from benchmarks.peers.stream_backend import chunk
from benchmarks.peers.tls import Certificate
from benchmarks.peers.work import WORKS, chosen
from benchmarks.program import BenchmarkError

SMALL = WORKS[0]
LATENCY = next(work for work in WORKS if work.kind == "latency")
REST = next(work for work in WORKS if work.kind == "rest")
CERTIFICATE = Certificate(Path("/c.pem"), Path("/k.pem"), Path("/b.pem"))
VALUES = {"port": "8001", "backend": "9001", "workers": "1", "folder": "/f"}


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
        pytest.param(0.95, 0.997, True, id="at the bar, interval within the tolerance"),
        pytest.param(0.95, 0.998, False, id="the interval ends too high"),
        pytest.param(0.951, 0.952, False, id="the median is above"),
    ],
)
def test_a_bar(median: float, high: float, met: bool) -> None:
    ratio = {"median": median, "low": 0.9, "high": high}
    assert report.bars({"a": {"nginx": {"router_ratio": ratio}}}) == [
        {"bar": "(a) router ÷ nginx", "limit": 0.95, "came": ratio, "met": met}
    ]


@pytest.mark.parametrize(("ms_per_s", "met"), [(10.0, True), (10.1, False)])
def test_the_bar_of_a_router_at_rest(ms_per_s: float, met: bool) -> None:
    came = {"median": ms_per_s, "low": ms_per_s, "high": ms_per_s}
    assert report.bars({"j": {"router": {"interval": came}}}) == [
        {"bar": "(j) at rest, ms/s", "limit": 10.0, "came": came, "met": met}
    ]


def test_every_bar_is_for_a_work_and_a_peer_that_takes_part_in_every_round(tmp_path: Path) -> None:
    comparison = Comparison(list(PEERS), {}, [], FULL, tmp_path)
    close = [bar for bar in report.BARS if bar.peer in ("nginx", "nginx-bare", "haproxy") and bar.work[0] not in "cd"]
    assert {bar.work for bar in close} == set("abegklm")
    for bar in close:
        assert bar.peer in comparison._names_for(chosen(bar.work)[0], FULL.rounds - 1)


def test_at_rest_only_routers_are_divided() -> None:
    readings = [
        Reading("j", name, 0, {"figure": figure})
        for name, figure in (("router", 8.0), ("before", 16.0), ("nginx", 0.001))
    ]
    found = report.summary(readings, REST)
    assert found["before"]["router_ratio"] == {"median": 0.5, "low": 0.5, "high": 0.5}
    assert "router_ratio" not in found["nginx"]


def test_the_figures_at_rest_are_per_second_and_by_kind() -> None:
    before = {"all": (10.0, 1000), "control": (6.0, 600)}
    after = {"all": (10.08, 1300), "control": (6.05, 700)}
    assert rest.values(before, after, 10.0) == {
        "figure": 8.0,
        "ms_per_s": 8.0,
        "wakes_per_s": 30.0,
        "control_ms_per_s": 5.0,
        "control_wakes_per_s": 10.0,
    }


@pytest.mark.parametrize(
    ("name", "certificate"),
    [*((peer.name, None) for peer in DEBIAN), *((peer.name, CERTIFICATE) for peer in DEBIAN if peer.tls)],
)
def test_a_configuration_has_no_empty_place(name: str, certificate: Certificate | None) -> None:
    peer = PEERS[name]
    for conf in peer.confs:
        assert "@" not in filled((CONF / conf).read_text(), VALUES, peer.tls, certificate)


@pytest.mark.parametrize(
    ("name", "lines", "plain"),
    [
        pytest.param(
            "nginx",
            [
                "listen 127.0.0.1:8001 ssl backlog=4096;",
                "ssl_certificate /c.pem; ssl_certificate_key /k.pem; ssl_protocols TLSv1.3; "
                "ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384; ssl_ecdh_curve X25519;",
            ],
            "listen 127.0.0.1:8001 backlog=4096;",
            id="nginx",
        ),
        pytest.param(
            "haproxy",
            [
                "bind 127.0.0.1:8001 backlog 4096 ssl crt /b.pem ssl-min-ver TLSv1.3 "
                "ciphersuites TLS_AES_256_GCM_SHA384 curves X25519",
                "http-request set-header X-Forwarded-Proto https",
            ],
            "bind 127.0.0.1:8001 backlog 4096",
            id="haproxy",
        ),
    ],
)
def test_a_configuration_with_tls_and_without(name: str, lines: list[str], plain: str) -> None:
    peer = PEERS[name]
    text = (CONF / peer.confs[0]).read_text()
    with_tls = [line.strip() for line in filled(text, VALUES, peer.tls, CERTIFICATE).splitlines()]
    without = [line.strip() for line in filled(text, VALUES, peer.tls, None).splitlines()]
    assert [line for line in lines if line not in with_tls] == []
    assert plain in without
    assert not any("ssl" in line for line in without)


def test_a_peer_without_tls_is_not_started_with_it() -> None:
    peer = next(peer for peer in DEBIAN if not peer.tls)
    with pytest.raises(BenchmarkError, match="has no TLS"):
        filled("", VALUES, peer.tls, CERTIFICATE)


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


@pytest.mark.parametrize(
    ("number", "keys"),
    [
        pytest.param(2, "a b c-100k c-10m d e f g h i j k l m", id="third round: all"),
        pytest.param(3, "a b e f g h j k l m", id="fourth round: where a bar is close"),
    ],
)
def test_which_works_have_a_round(number: int, keys: str, tmp_path: Path) -> None:
    comparison = Comparison([], {}, list(WORKS), FULL, tmp_path)
    assert [work.key for work in comparison._works_for(number)] == keys.split()


def _names(number: int, letter: str, tmp_path: Path) -> list[str]:
    peers = ["nginx", "nginx-bare", "haproxy", "envoy", "vllm-router", "litellm"]
    before = Build.__new__(Build)  # who takes part does not need a built wheel
    works = [work for work in WORKS if not work.tls]
    return Comparison(peers, {}, works, FULL, tmp_path, before)._names_for(chosen(letter)[0], number)


@pytest.mark.parametrize(
    ("number", "letter", "names"),
    [
        pytest.param(0, "a", "router before nginx nginx-bare haproxy envoy vllm-router litellm", id="first round: all"),
        pytest.param(8, "a", "router before nginx nginx-bare haproxy", id="last round: where the bar is close"),
        pytest.param(8, "g", "router before nginx haproxy", id="last round: a bar that is close with nginx alone"),
        pytest.param(0, "c", "router before nginx haproxy envoy", id="a gateway has no route for it"),
        pytest.param(0, "f", "router before nginx haproxy envoy vllm-router", id="too slow a peer for it"),
        pytest.param(0, "h", "router before nginx haproxy envoy", id="who can run two workers"),
        pytest.param(0, "k", "router before nginx haproxy", id="whose configuration has TLS"),
    ],
)
def test_who_takes_part_when(number: int, letter: str, names: str, tmp_path: Path) -> None:
    assert _names(number, letter, tmp_path) == names.split()
