from __future__ import annotations

import json

import pytest

from router.runtime import child_args

WORKER = child_args.WorkerArgs(
    index=1, segment_fd=3, settings_fd=4, updates_fd=9, listen_fds=[5], wake_fd=6, acks_fd=7, life_fd=8, state_dir="/s"
)
CONTROL = child_args.ControlArgs(
    segment_fd=3,
    settings_fd=4,
    updates_fd=10,
    admin_fd=5,
    wake_fds=[6, 7],
    acks_fd=8,
    life_fd=9,
    state_dir="/s",
    settings_origin="o",
)


def test_round_trip() -> None:
    assert child_args.decode(child_args.WorkerArgs, child_args.encode(WORKER)) == WORKER
    assert child_args.decode(child_args.ControlArgs, child_args.encode(CONTROL)) == CONTROL


def test_what_is_not_set_is_not_sent() -> None:
    assert sorted(json.loads(child_args.encode(CONTROL))) == [
        "acks_fd", "admin_fd", "life_fd", "log_format", "segment_fd", "settings_fd", "settings_origin", "state_dir", "updates_fd",
        "wake_fds",
    ]  # fmt: skip


@pytest.mark.parametrize("argument", ['{"index": 1}', child_args.encode(CONTROL)])
def test_another_message_is_refused(argument: str) -> None:
    with pytest.raises(TypeError):
        child_args.decode(child_args.WorkerArgs, argument)
