"""Which version holds which slot."""

from __future__ import annotations

from router.rollout.model.target import State, Target
from router.rollout.placement.slot_table import HeldSlot, SlotHolder, SlotTable

V1 = Target("v1", ("http://v1:1",), State.ACTIVE, 0, 0.0)


def test_a_slot_gets_its_next_incarnation_with_each_version() -> None:
    table = SlotTable().placed("v1", 0).placed("v2", 1).freed(["v1", "v9"]).placed("v3", 0)
    assert table.held == {"v2": HeldSlot(1, 1), "v3": HeldSlot(0, 2)}
    assert table.incarnations == (2, 1, 0, 0, 0, 0, 0)
    assert (table.slot_of("v3"), table.slot_of("v1"), table.version_in(1), table.version_in(5)) == (0, None, "v2", None)
    assert table.freed(["v1"]) is table


def test_the_free_slot_is_that_which_was_filled_least_often() -> None:
    table = SlotTable({"v1": HeldSlot(2, 1)}, (3, 2, 1, 2, 9, 9, 9))
    assert table.free_slot() == 1
    for number in range(7):
        if number != 2:
            table = table.placed(f"w{number}", number)
    assert table.free_slot() is None


def test_a_lost_role_is_dated_once() -> None:
    table = SlotTable({"v1": HeldSlot(0, 1), "v2": HeldSlot(1, 1)})
    draining = {"v1": V1, "v2": Target("v2", (), State.DRAINING, 0, 0.0)}
    lost = table.with_roles(draining, 7)
    assert lost.held == {"v1": HeldSlot(0, 1), "v2": HeldSlot(1, 1, 7)}
    assert lost.with_roles(draining, 8) is lost
    assert lost.with_roles({**draining, "v2": Target("v2", (), State.STANDBY, 0, 0.0)}, 9) == table


def test_the_role_of_a_holder() -> None:
    states = (State.ACTIVE, State.STANDBY, State.READY, State.UNREACHABLE, State.DRAINING, State.FAILED)
    holders = [SlotHolder(Target("v", (), state, 0, 0.0), HeldSlot(0, 1)) for state in states]
    assert [holder.role for holder in holders] == ["active", "standby", "candidate", "none", "draining", "draining"]


def test_holders_are_sorted_by_slot_and_known() -> None:
    table = SlotTable({"v1": HeldSlot(4, 1), "gone": HeldSlot(2, 1), "v2": HeldSlot(0, 3)})
    second = Target("v2", (), State.STANDBY, 0, 0.0)
    holders = table.holders({"v1": V1, "v2": second})
    assert [(holder.target, holder.slot, holder.incarnation) for holder in holders] == [(second, 0, 3), (V1, 4, 1)]
