"""Refused answers in the records of failed requests; the causes themselves stand in tests/proxy/engine/test_upstream.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from router.errors import RouterError
from router.proxy.http1.chunked import ChunkError
from router.proxy.tap.refused_answers import CHUNK_CAUSE, RefusedAnswers
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig
from tests.proxy.tap.test_failure_recorder import HEADERS, POST, kept

TWICE = b"HTTP/1.1 200 OK\r\n" + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n"


async def test_the_record_of_a_failed_request_names_the_cause(caplog: pytest.LogCaptureFixture) -> None:
    async with Backend(backends.sending(TWICE)) as backend, Rig(captured_headers=HEADERS) as rig:
        rig.serve(backend.url)
        for _ in range(3):
            assert (await rig.ask(POST))[0] == 502
        assert [document["attempts"][0]["refused"] for document, _ in kept(rig)] == [
            "response_transfer_encoding_repeated"
        ] * 3
    assert len([record for record in caplog.records if "was refused" in record.msg]) == 1, "one line in ten seconds"


class Attempted:
    """An attempt without an endpoint."""

    pool = None
    target = SimpleNamespace(version="v1")

    def __init__(self, row: int) -> None:
        self.row = row
        self.refused = ""


@pytest.mark.parametrize("error", [ChunkError("bad_chunk", "x"), ChunkError("body_too_large", "x")])
async def test_an_error_without_a_cause_of_its_own_is_one_of_chunks(error: RouterError) -> None:
    async with Rig() as rig:
        attempt = Attempted(rig.segment.layout.worker_slot(0, 0, 0))
        RefusedAnswers(rig.context, "svc").record(attempt, error)  # type: ignore[arg-type]
        assert attempt.refused == CHUNK_CAUSE
        assert rig.worker_stats.refused_answers(0, 0)[at.REFUSED_ANSWERS.index(CHUNK_CAUSE)] == 1
