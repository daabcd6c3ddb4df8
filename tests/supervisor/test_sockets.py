from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from router.errors import StartError
from router.runtime.exit_codes import exit_code
from router.settings.sections.address import Address
from router.supervisor.patience import Patience
from router.supervisor.sockets import AdminSocket, DataSockets, check_free
from tests.texts import golden

ANY = Address(host="127.0.0.1", port=0)


@pytest.fixture
def data() -> Iterator[DataSockets]:
    sockets = DataSockets(ANY, 3)
    yield sockets
    sockets.close()


def refusal(address: Address, setting: str = "listen") -> StartError:
    with pytest.raises(StartError) as caught:
        check_free(address, setting)
    return caught.value


def test_all_share_one_port_and_refuse_until_they_listen(data: DataSockets) -> None:
    assert {sock.getsockname() for sock in data.sockets} == {("127.0.0.1", data.address.port)}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", data.address.port), 1).close()
    data.listen()
    socket.create_connection(("127.0.0.1", data.address.port), 1).close()


def test_a_second_router_is_not_let_in(data: DataSockets) -> None:
    data.listen()
    with pytest.raises(StartError) as caught:
        DataSockets(data.address, 1)
    port = data.address.port
    assert (exit_code(caught.value), caught.value.code, caught.value.detail) == (
        4,
        "port_in_use",
        golden("listen.in_use", port=port),
    )


def test_two_that_start_at_once_do_not_both_listen(data: DataSockets) -> None:
    other = DataSockets(data.address, 1)  # nobody listens yet, so the kernel lets both bind
    data.listen()
    with pytest.raises(StartError, match="port_in_use"):
        other.listen()
    other.close()


def test_past_connections_do_not_keep_a_restart_from_its_port(data: DataSockets) -> None:
    data.listen()
    with socket.create_connection(("127.0.0.1", data.address.port), 1) as client:
        served = next(sock for sock in data.sockets if _accept(sock))
        assert served
        client.settimeout(1)
        assert client.recv(1) == b""  # the server closed first: TIME_WAIT is on its side
    data.close()
    again = DataSockets(data.address, 1)
    again.listen()
    again.close()


def _accept(sock: socket.socket) -> bool:
    try:
        sock.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_admin_listens_at_once() -> None:
    with closing(AdminSocket(ANY)) as admin:
        address = admin.address
        socket.create_connection((address.host, address.port), 1).close()
        assert refusal(address, "admin_listen").detail.endswith("choose another: --admin HOST:PORT")


@pytest.mark.parametrize(
    ("host", "code", "text"),
    [
        pytest.param(
            "192.0.2.1", "address_unavailable", "listen 192.0.2.1:80: Cannot assign requested address: ", id="not ours"
        ),
        pytest.param("a" * 64, "address_unknown", f"listen {'a' * 64}:80: ", id="no name at all"),
    ],
)
def test_other_refusals_name_address_and_remedy(host: str, code: str, text: str) -> None:
    error = refusal(Address(host=host, port=80))
    assert (exit_code(error), error.code) == (4, code)
    assert error.detail.startswith(text)


def test_patience_ends(data: DataSockets) -> None:
    data.listen()
    times = iter([0.0, 1.0, 4.0, 6.0])
    slept: list[float] = []
    with pytest.raises(StartError, match="port_in_use"):
        AdminSocket(data.address, Patience(5.0, lambda: next(times), slept.append))
    assert slept == [0.05, 0.05]


def test_patience_is_rewarded(data: DataSockets) -> None:
    data.listen()
    AdminSocket(data.address, Patience(5.0, sleep_s=lambda _: data.close())).close()


def test_adopted_sockets_serve_any_number_of_workers_and_none_is_closed(data: DataSockets) -> None:
    data.listen()
    fewer = DataSockets.adopted([sock.dup() for sock in data.sockets], 2)
    assert [len(fewer.of_worker(index, 2)) for index in range(2)] == [2, 1]
    more = DataSockets.adopted([sock.dup() for sock in data.sockets], 5)
    assert [len(more.of_worker(index, 5)) for index in range(5)] == [1] * 5
    assert {sock.getsockname() for sock in more.sockets} == {("127.0.0.1", data.address.port)}
    accepting = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in more.sockets]
    assert accepting == [1, 1, 1, 0, 0], "a further worker opens its own when it can accept"
    for sockets in (fewer, more):
        sockets.close()
