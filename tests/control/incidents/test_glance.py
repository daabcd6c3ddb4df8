from __future__ import annotations

import dataclasses

from router.control.incidents.snapshots import beginning_ns
from router.rollout.stats.window import SECOND_NS
from tests.control.incidents.played_incident import INCIDENT, Played
from tests.rollout.simulator import seconds


def test_a_second_look_keeps_what_the_first_one_saw_finer(played: Played) -> None:
    glance = played.glance()
    later, alone = glance.samples(), dataclasses.replace(glance, known=None).samples()
    assert later["left"]["fault_ns"] == seconds(70.5)
    assert alone["left"]["fault_ns"] == seconds(71), "after two minutes only whole seconds are kept"
    ends = [point[0] for point in later["left"]["points"]]
    assert ends == sorted(set(ends))
    assert (ends[0], ends[-1]) == (seconds(1), seconds(190))
    assert sum(point[2] for point in later["left"]["points"]) == 7005


def test_a_look_at_nothing_takes_nothing_away(played: Played) -> None:
    glance = played.glance()
    assert dataclasses.replace(glance, trails=((), ())).samples()["left"] == glance.known["left"]
    blind = dataclasses.replace(glance, trails=((), ()), known=None).samples()
    assert (blind["left"], blind["back"], blind["endpoints"]) == (
        None,
        None,
        ["http://fraud-v8:1", "http://fraud-v8:2"],
    )


def test_trouble_of_unknown_beginning_begins_with_the_promotion_or_a_quarter_of_an_hour_before(played: Played) -> None:
    manual = Played(before_s=5, fail_s=2, after_s=6, trigger=None).chronicle.timelines[INCIDENT]
    assert beginning_ns(manual) == seconds(1.0)
    assert manual.promoted is not None
    earlier = dataclasses.replace(manual, promoted=dataclasses.replace(manual.promoted, boot=2))
    assert beginning_ns(earlier) == manual.opening.monotonic_ns - 900 * SECOND_NS
    assert beginning_ns(played.chronicle.timelines[INCIDENT]) == seconds(60.1)


def test_what_was_put_together_anew_stays_marked(played: Played) -> None:
    again = dataclasses.replace(played.glance(), reconstructed=True).samples()
    assert dataclasses.replace(played.glance(), known=again).samples()["reconstructed"] is True
