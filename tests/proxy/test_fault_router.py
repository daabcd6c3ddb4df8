"""What the router itself lacks, class P: counted as its own fault, in no window of a version."""

from __future__ import annotations

import os
import resource

from router.rollout.outcome import FAULTS
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig, field

GET = b"GET /a HTTP/1.1\r\nHost: t\r\n\r\n"


async def test_no_descriptor_for_a_backend_is_our_fault() -> None:
    """case 42: EMFILE as we connect."""
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(b"GET /-/ready HTTP/1.1\r\nHost: t\r\n\r\n"))[0] in (200, 503)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        spare = [os.dup(0) for _ in range(highest)]  # no gap below the limit may be left
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, hard))
        try:
            status, head, _ = await client.ask(GET)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in spare:
                os.close(descriptor)
        assert (status, field(head, b"x-router-error")) == (502, b"connect_failed")
        assert (await client.ask(GET))[0] == 200
    assert rig.attempts() == rig.exchanges() == {"router_fault": 1, "ok": 1}
    assert sum(rig.scalar(at.L_OUTCOMES + outcome) for outcome in FAULTS) == 0
    assert rig.scalar(at.L_FAULTS_UNBEGUN) == 0
