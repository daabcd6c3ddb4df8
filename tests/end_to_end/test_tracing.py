"""A real router sends the spans of sampled requests to a receiver of OTLP, also those of a rescue, and counts them."""

from __future__ import annotations

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import service_settings, until
from tests.otlp_receiver import attributes, receiving_spans

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


async def test_the_spans_of_a_rescue_reach_the_receiver(start_router: StartRouter) -> None:
    async with (
        Backend(backends.ok()) as bad,
        Backend(backends.ok()) as good,
        receiving_spans() as receiver,
        aiohttp.ClientSession() as session,
    ):
        settings = f'[tracing]\ncollector = "{receiver.url}"\n'
        more = 'replay = "always"\nrescue_on = ["broken"]\n'
        router = await start_router(settings + service_settings(bad.url, good.url, more))
        await router.wait_ready("v2")
        bad.behaviour = backends.sending(b"HTTP/1.1 2OO OK\r\n\r\n")
        for flags in ("00", "01"):
            fields = {"traceparent": f"00-{TRACE}-{SPAN}-{flags}"}
            async with session.post(router.url + "/infer", data=b"{}", headers=fields) as response:
                assert response.status == 200

        async def came() -> bool:
            return len(receiver.spans) == 3

        await until(came, 15, "the spans of the sampled request")
        exchange, first, second = sorted(receiver.spans, key=lambda span: (span.kind != 2, span.start_time_unix_nano))
        assert (exchange.trace_id.hex(), exchange.parent_span_id.hex()) == (TRACE, SPAN)
        assert {first.parent_span_id, second.parent_span_id} == {exchange.span_id}
        assert [attributes(span)["rollback_router.version"] for span in (first, second)] == ["v1", "v2"]
        assert (first.status.code, second.status.code, exchange.status.code) == (2, 0, 0)

        async def counted() -> bool:
            async with session.get(router.admin_url + "/metrics") as response:
                return "\nrollback_router_spans_sent_total 3.0\n" in await response.text()

        await until(counted, 5, "the spans are counted")
