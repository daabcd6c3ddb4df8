"""Generated streams of requests, cut anywhere: the backend gets exactly the requests that an h11 model reads, or none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.example_counts import examples
from tests.proxy.persistent_rig import PersistentRig
from tests.proxy.reading import Fields, end_to_end, trailers_of
from tests.proxy.recorder import Recorder, Wire, statuses
from tests.proxy.rig import OPTIONS, Rig, until
from tests.proxy.streams import CUTS, changed, pieces, requests
from tests.proxy.waiting import turns

ADDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")

_ASCII = bytes(byte if byte < 0x80 else 0x78 for byte in range(256))


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """A whole request as h11 reads it, with the fields and trailers that go from end to end."""

    method: bytes
    target: bytes
    fields: Fields
    body: bytes
    trailers: Fields


def read(stream: bytes) -> tuple[list[Request], bytes]:
    """Return (the whole requests, one after the other, and what is left: not whole, or malformed)."""
    found: list[Request] = []
    while stream := _begun(stream):
        line, end, more = stream.partition(b"\r\n")  # h11 takes no obs-text in a target; both sides are read without
        stream = line.translate(_ASCII) + end + more
        reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        reader.receive_data(stream)
        try:
            head = reader.next_event()
            if not isinstance(head, h11.Request):
                break
            body = b""
            while isinstance(event := reader.next_event(), h11.Data):
                body += bytes(event.data)
            if not isinstance(event, h11.EndOfMessage):
                break
        except h11.RemoteProtocolError:
            break
        fields = tuple((name, value) for name, value in end_to_end(head.headers) if name not in (*ADDED, b"expect"))
        found.append(Request(head.method, head.target, fields, body, trailers_of(event.headers)))
        stream = reader.trailing_data[0]
    return found, stream


def _begun(stream: bytes) -> bytes:
    """Return the stream without empty lines before its first request: they are ignored (RFC 9112 §2.2), h11 refuses them."""
    while stream.startswith(b"\r\n"):
        stream = stream[2:]
    return stream


@pytest.fixture
def persistent() -> Iterator[PersistentRig]:
    with PersistentRig(Recorder(), Rig(replace(OPTIONS, via=False))) as one:
        yield one


async def relayed(
    persistent: PersistentRig, parts: list[bytes], number: int | None
) -> tuple[bytes, list[bytes], list[bytes]]:
    """Return (what the client got, the whole requests that the backend got, what it got beside)."""
    recorder = persistent.backend
    recorder.clear()
    wire = Wire(persistent.rig.data_plane)
    for part in parts:
        wire.feed(part)
        await turns()
    if number is not None:
        await until(lambda: wire.written.count(b"\r\n\r\nok") == number)
    await persistent.still(wire)
    wire.leave()
    await persistent.rig.quiet()
    return wire.written, recorder.requests, recorder.rests


SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]  # one rig for all examples of a test


@settings(max_examples=examples(150), derandomize=True, suppress_health_check=SUPPRESSED)
@given(stream=st.lists(requests(), min_size=1, max_size=4), cuts=CUTS)
def test_a_stream_of_requests_arrives_as_h11_reads_it(
    persistent: PersistentRig, stream: list[bytes], cuts: set[int]
) -> None:
    sent = b"".join(stream)
    written, arrived, rests = persistent.run(relayed(persistent, pieces(sent, cuts), len(stream)))
    assert statuses(written) == [200] * len(stream)
    assert rests == []
    got = [read(raw) for raw in arrived]
    assert all(len(found) == 1 and not left for found, left in got)
    assert sorted(found[0] for found, _ in got) == sorted(read(sent)[0])


@settings(max_examples=examples(300), derandomize=True, suppress_health_check=SUPPRESSED)
@given(data=st.data(), stream=st.lists(requests(), min_size=1, max_size=3), cuts=CUTS)
def test_of_a_changed_stream_only_what_h11_reads_reaches_the_backend(
    persistent: PersistentRig, data: st.DataObject, stream: list[bytes], cuts: set[int]
) -> None:
    """As many of the first requests as were served, whole and unchanged; of the next one at most the beginning."""
    sent = data.draw(changed(b"".join(stream)))
    _, arrived, rests = persistent.run(relayed(persistent, pieces(sent, cuts), None))
    model, _ = read(sent)
    got = [read(raw) for raw in arrived]
    assert all(len(found) == 1 and not left for found, left in got), arrived
    assert sorted(found[0] for found, _ in got) == sorted(model[: len(got)])
    assert len(rests) <= 1
    for rest in rests:
        assert read(rest)[0] == [], "the beginning of a request looks whole"
