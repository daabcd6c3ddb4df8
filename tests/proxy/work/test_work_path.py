"""A path counts as `other` until an answer to it was useful and control has given it a bucket."""

from __future__ import annotations

from router.proxy.options import InferenceOptions
from router.proxy.work.work_path import PATHS_MAX, PROPOSE_EVERY_S
from router.rollout.work import OTHER, OTHER_INFERENCE, WorkEnd
from router.shm import layout as at
from router.shm.work_table import ClaimCell, WorkEntry, WorkTable
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig

POST = b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}"


def ends(rig: Rig, bucket: int, slot: int = 0) -> dict[str, int]:
    """Return the ends of attempts in a bucket, without the zeroes."""
    row = rig.segment.layout.worker_slot(0, 0, slot) + at.L_WORK + bucket * at.WORK_WORDS
    return {end.label: number for end in WorkEnd if (number := rig.segment.words[row + at.B_ENDS + end])}


async def test_a_useful_answer_proposes_a_bucket_and_the_table_gives_it() -> None:
    async with Backend(backends.ok(b"yes")) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(POST))[0] == 200
        assert ClaimCell(rig.segment, 0, 0).read() == (1, "POST /v1/completions")
        assert ends(rig, OTHER_INFERENCE) == {"useful": 1}
        WorkTable(rig.segment, 0).write({3: WorkEntry("POST /v1/completions", True)})
        rig.data_plane.services[0].work_paths.refresh()
        assert (await client.ask(POST))[0] == 200
        assert (ends(rig, 3), ends(rig, OTHER_INFERENCE)) == ({"useful": 1}, {"useful": 1})
        assert ClaimCell(rig.segment, 0, 0).read() == (1, "POST /v1/completions")


async def test_what_is_not_useful_proposes_nothing_and_cheap_requests_count_apart() -> None:
    async with Backend(backends.status(404)) as backend, Rig() as rig:
        rig.serve(backend.url)
        await rig.ask(POST)
        await rig.ask(b"GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n")
        assert ClaimCell(rig.segment, 0, 0).read() is None
        assert (ends(rig, OTHER_INFERENCE), ends(rig, OTHER)) == ({"client_error": 1}, {"client_error": 1})


async def test_settings_name_what_is_inference() -> None:
    rules = InferenceOptions(paths=("/v1/models",), not_paths=("/v1/completions",))
    async with Backend(backends.ok()) as backend, Rig(inference=rules) as rig:
        rig.serve(backend.url)
        await rig.ask(POST)
        await rig.ask(b"GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n")
        assert (ends(rig, OTHER_INFERENCE), ends(rig, OTHER)) == ({"useful": 1}, {"useful": 1})


async def test_proposals_come_once_a_second() -> None:
    async with Rig() as rig:
        paths, cell = rig.data_plane.services[0].work_paths, ClaimCell(rig.segment, 0, 0)
        first, second = paths.find(b"POST", b"/a"), paths.find(b"POST", b"/b")
        paths.propose(first, 100.0)
        paths.propose(second, 100.0 + PROPOSE_EVERY_S / 2)
        assert cell.read() == (1, "POST /a")
        paths.propose(second, 100.0 + PROPOSE_EVERY_S)
        assert cell.read() == (2, "POST /b")


async def test_many_paths_displace_those_without_a_bucket_only_and_a_cached_head_finds_its_bucket_again() -> None:
    async with Rig() as rig:
        paths, table = rig.data_plane.services[0].work_paths, WorkTable(rig.segment, 0)
        named, late = paths.find(b"POST", b"/named"), paths.find(b"POST", b"/late")
        table.write({0: WorkEntry("POST /named", True)})
        paths.refresh()
        for number in range(PATHS_MAX):
            paths.find(b"POST", b"/x%d" % number)
        assert paths.find(b"POST", b"/named") is named
        assert paths.find(b"POST", b"/late") is not late
        table.write({0: WorkEntry("POST /named", True), 1: WorkEntry("POST /late", True)})
        paths.refresh()
        assert (named.bucket, late.bucket) == (0, OTHER_INFERENCE)
        paths.propose(late, 100.0)
        assert late.bucket == 1


async def test_known_times_are_taken_over() -> None:
    async with Rig() as rig:
        paths, table = rig.data_plane.services[0].work_paths, WorkTable(rig.segment, 0)
        known, unknown = paths.find(b"POST", b"/a"), paths.find(b"POST", b"/b")
        table.write({2: WorkEntry("POST /a", True)})
        table.write_times(2, 12_000_000, 400_000)
        paths.refresh()
        assert paths.read_times()[2] == 12_000_000
        assert (known.median_s, unknown.median_s) == (0.4, 1.0)
