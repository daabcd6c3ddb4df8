from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from dataclasses import replace

import pytest
from aiohttp import web

from router.control.cases.runner import ANSWER_BYTES_MAX, AnswerValidator, CaseRunOptions, RunTarget, run_cases
from router.rollout.cases.case import Case, Expectation, Request
from router.rollout.cases.comparison import CaseAnswer, ComparisonLimits, Result
from router.rollout.model.rewrite import Rewrite, SentRewrite
from router.settings.sections.validation import ValidationSettings
from tests.control.cases.model_server import model_server
from tests.control.scripted_server import answer, scripted
from tests.proxy.engine.test_failover import closed_port
from tests.texts import golden
from tests.waiting import until

OPTIONS = CaseRunOptions(replay="always", timeout_s=2.0)


def post(body: str, target: str = "/score", **more: object) -> Case:
    return Case(Request("POST", target, body=body, body_bytes=len(body)), by="rollback", **more)  # type: ignore[arg-type]


def states(results: list[Result]) -> list[str]:
    return [result.state for result in results]


async def test_cases_are_sent_as_they_were_and_judged_in_their_order() -> None:
    first = Case(
        Request(
            "POST",
            "/score?k=%20x",
            {
                "content-type": "text/x",
                "accept": "a/b",
                "x-request-id": "old",
                "traceparent": "old",
                "host": "models.example",
            },
            "hello",
        ),
        by="ann",
    )
    async with model_server(lambda body: (500 if body == b"bad" else 200, b"{}")) as server:
        results = await run_cases(
            [first, post("bad"), post("good"), Case(Request("GET", "/x"))], RunTarget((server.url,)), OPTIONS
        )
    assert states(results) == ["pass", "fail", "pass", "pass"]
    assert [result.id for result in results[:2]] == [first.id, post("bad").id]
    sent = next(request for request in server.requests if request[3] == b"hello")
    headers = sent[2]
    assert sent[:2] == ("POST", "/score?k=%20x")
    assert headers == {
        "host": "models.example",
        "content-type": "text/x",
        "accept": "a/b",
        "accept-encoding": "identity",
        "user-agent": headers["user-agent"],
        "x-request-id": f"check-{first.id}",
        "content-length": "5",
        "connection": "close",
    }
    get = next(request for request in server.requests if request[0] == "GET")
    assert "content-type" not in get[2], "nothing is added that a model might look at"


async def test_a_case_is_sent_as_requests_to_the_version_are() -> None:
    case = Case(Request("POST", "/fraud/score?k=1", {"host": "models.example", "authorization": "client"}, "hello"))
    rewrite = SentRewrite("/fraud", Rewrite("v8.example", "/v2/models/v8", "/f"), (("Authorization", "ours"),))
    async with model_server() as server:
        await run_cases([case], RunTarget((server.url,), rewrite=rewrite), OPTIONS)
    [(method, target, headers, body)] = server.requests
    assert (method, target, body) == ("POST", "/v2/models/v8/score?k=1", b"hello")
    assert (headers["host"], headers["authorization"]) == ("v8.example", "ours")


@pytest.mark.parametrize(
    ("coding", "encoded", "state"),
    [
        pytest.param("gzip", gzip.compress(b'{"score": 0.5}'), "pass", id="gzip"),
        pytest.param("deflate", zlib.compress(b'{"score": 0.5}'), "pass", id="deflate"),
        pytest.param("identity", b'{"score": 0.5}', "pass", id="identity"),
        pytest.param("gzip", gzip.compress(b'{"score": 0.7}'), "fail", id="another answer"),
        pytest.param("br", b"?", "fail", id="unreadable"),
    ],
)
async def test_an_answer_is_compared_without_its_content_encoding(coding: str, encoded: bytes, state: str) -> None:
    """Some servers compress although a client asks for no coding."""
    said = answer(200, encoded, b"Content-Type: application/json", b"Content-Encoding: " + coding.encode())
    checked = AnswerValidator(ValidationSettings(response_json=True))
    options = replace(OPTIONS, limits=ComparisonLimits(equal=True), complaint=checked.complaint)
    case = post("x", expect=Expectation("2xx", body='{"score": 0.5}'))
    async with scripted(said) as script:
        [result] = await run_cases([case], RunTarget((script.url,)), options)
    assert result.state == state
    assert not any("invalid" in problem for problem in result.problems)


async def test_what_may_not_be_sent_is_not() -> None:
    async with model_server() as server:
        results = await run_cases([post("x")], RunTarget((server.url,)), replace(OPTIONS, replay="unsent"))
        assert (states(results), server.requests) == (["skipped"], [])
        assert states(
            await run_cases([post("x")], RunTarget((server.url,)), replace(OPTIONS, replay="never", replay_all=True))
        ) == ["pass"]


async def test_cases_are_spread_over_endpoints_and_a_dead_one_fails_its_own() -> None:
    dead = await closed_port()
    async with model_server() as server:
        results = await run_cases([post(str(number)) for number in range(4)], RunTarget((server.url, dead)), OPTIONS)
    assert states(results) == ["pass", "fail", "pass", "fail"]
    assert results[1].problems[0].startswith(f"no connection to {dead}: ")


async def test_no_more_than_so_many_at_a_time_and_each_is_told_as_it_comes() -> None:
    reported: list[Result] = []
    async with model_server() as server:
        results = await run_cases(
            [post(str(n)) for n in range(20)],
            RunTarget((server.url,)),
            replace(OPTIONS, concurrency=3),
            reported.append,
        )
    assert (server.most <= 3, len(reported), states(results)) == (True, 20, ["pass"] * 20)


async def test_a_version_that_hangs_fails_each_in_its_time_and_all_in_theirs() -> None:
    options = replace(OPTIONS, concurrency=2, timeout_s=0.05, run_timeout_s=0.18)
    async with model_server() as server:
        server.hangs = True
        results = await run_cases([post(str(number)) for number in range(9)], RunTarget((server.url,)), options)
    assert states(results) == ["fail"] * 9
    assert results[0].problems == (golden("cases.no_first_byte"),)
    assert results[8].problems == (golden("cases.check_too_long"),)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        pytest.param(b"", "the answer broke off: Server disconnected", id="hung up"),
        pytest.param(answer(200, b"x" * 9)[:-4], "the answer broke off: Response payload is not completed", id="cut"),
        pytest.param(b"\x00garbage\r\n\r\n", "the answer broke off: ", id="no HTTP"),
    ],
)
async def test_an_answer_that_is_none(raw: bytes, problem: str) -> None:
    async with scripted(raw, b"") as server:
        results = await run_cases([post("x")], RunTarget((server.url,)), replace(OPTIONS, timeout_s=0.3))
    assert states(results) == ["fail"]
    assert results[0].problems[0].startswith(problem) or results[0].problems[0].startswith("no whole answer within")


async def test_a_long_answer_is_good_by_its_status_and_not_compared() -> None:
    async with model_server(lambda body: (200, b"x" * (ANSWER_BYTES_MAX + 1))) as server:
        plain, compared = post("1"), post("2", expect=Expectation(body="x", equal=True))
        results = await run_cases([plain, compared], RunTarget((server.url,)), OPTIONS)
    assert states(results) == ["pass", "fail"]
    assert results[1].problems == (golden("cases.answer_too_long", limit=ANSWER_BYTES_MAX),)


async def test_a_redirect_is_an_answer() -> None:
    async with scripted(answer(302, b"", b"Location: http://127.0.0.1:1/")) as server:
        results = await run_cases([post("x")], RunTarget((server.url,)), OPTIONS)
    assert (states(results), results[0].status) == (["pass"], 302)


async def test_limits_and_a_recorded_answer() -> None:
    case = post("x", expect=Expectation("2xx", body='{"score": 0.5, "id": 1}'))
    options = replace(OPTIONS, limits=ComparisonLimits(equal=True, ignore_paths=("/id",)))
    async with model_server(lambda body: (200, b'{"score": 0.7, "id": 2}')) as server:
        results = await run_cases([case], RunTarget((server.url,)), options)
    assert results[0].problems == ("score: 0.7, recorded 0.5",)


async def test_a_base_url_with_a_path_and_fields_that_an_entrance_wants() -> None:
    async with model_server() as server:
        place = RunTarget((f"{server.url}/tenant/",), headers={"Authorization": "Bearer ci"})
        await run_cases([post("x")], place, OPTIONS)
    assert (server.requests[0][1], server.requests[0][2]["authorization"]) == ("/tenant/score", "Bearer ci")


async def test_a_unix_socket(tmp_path: object) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text="{}")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, f"{tmp_path}/s").start()
    assert states(await run_cases([post("x")], RunTarget((f"unix:{tmp_path}/s",)), OPTIONS)) == ["pass"]
    await runner.cleanup()


async def test_nothing_to_do() -> None:
    assert await run_cases([], RunTarget(("http://127.0.0.1:1",)), OPTIONS) == []


async def test_a_check_that_is_cancelled_sends_no_more() -> None:
    async with model_server() as server:
        server.hangs = True
        cases = [post(str(number)) for number in range(9)]
        task = asyncio.get_running_loop().create_task(
            run_cases(cases, RunTarget((server.url,)), replace(OPTIONS, concurrency=2))
        )
        await until(lambda: len(server.requests) >= 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("body", "aside"), [pytest.param(b"1" * 2048, False, id="short"), pytest.param(b"1" * 2049, True, id="long")]
)
async def test_a_long_answer_is_judged_aside(body: bytes, aside: bool) -> None:
    """To compare one of 1 MiB took a second, in which control judged nothing else."""
    seen: list[threading.Thread] = []

    def complaint(case: Case, answer: CaseAnswer) -> str | None:
        seen.append(threading.current_thread())
        return "odd"

    async with model_server(lambda _: (200, body)) as server:
        [result] = await run_cases([post("x")], RunTarget((server.url,)), replace(OPTIONS, complaint=complaint))
    assert result.problems == ("invalid: odd",)
    assert (seen[0] is not threading.main_thread()) == aside
