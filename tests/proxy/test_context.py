"""What one worker shares: identifiers that never repeat, deadlines that follow the settings, waits that end with a connection."""

from __future__ import annotations

from dataclasses import replace

from tests.proxy.rig import OPTIONS, Rig


async def test_identifiers_differ_also_where_the_low_digits_begin_again() -> None:
    async with Rig() as rig:
        made = [rig.context.new_request_id() for _ in range(0x1000 + 2)]
    assert len(set(made)) == len(made)
    assert {len(identifier) for identifier in made} == {len(made[0])}


async def test_changed_settings_change_every_deadline_and_a_draining_worker_keeps_its_own() -> None:
    async with Rig() as rig:
        context = rig.context
        rig.data_plane.reconfigure(replace(OPTIONS, header_timeout_s=7.0, half_close_grace_s=3.0, keepalive_idle_s=9.0))
        assert (context.header_wait.duration_s, context.proxy_header_wait.duration_s) == (7.0, 7.0)
        assert (context.half_closed.duration_s, context.tunnel_close.duration_s) == (3.0, 3.0)
        assert context.keepalive.duration_s == 9.0
        context.draining = True
        rig.data_plane.reconfigure(replace(OPTIONS, keepalive_idle_s=9.0))
        assert context.keepalive.duration_s == OPTIONS.shutdown_idle_s


async def test_a_connection_that_ends_waits_for_nothing_and_others_go_on_waiting() -> None:
    async with Rig() as rig:
        context, ended, other = rig.context, object(), object()
        for table in (context.header_wait, context.keepalive, context.body_rate, context.linger):
            table.start(ended, 1.0)
            table.start(other, 1.0)
        context.forget_waits(ended)
        for table in (context.header_wait, context.keepalive, context.body_rate, context.linger):
            assert list(table.since) == [other]
        context.forget_waits(other)
