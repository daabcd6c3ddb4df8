"""The 44 faults that the router must survive, and the tests that show it. `fault_traps.py` has the traps of a proxy on llhttp.

Classes: C is the client's fault and in no window; U the target's, one fault in the window of the version that served it; P our
own, alarmed, in no window. `tests/test_fault_catalogue.py` sees to it that every test named here exists. After each
test of tests/proxy the rig asks that everything has ended exactly once, in the counters of every worker,
and that nothing is left (tests/proxy/leak_check.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Case:
    """`tests` are node ids below tests/; a text in brackets is the beginning of an id of its table. `note`: what is not there."""

    title: str
    fault_of: str
    tests: tuple[str, ...]
    note: str = ""


CLIENT: Final = "proxy/test_fault_client.py::"
TARGET: Final = "proxy/test_fault_target.py::"
REFUSED: Final = CLIENT + "test_refused_by_us_and_in_no_window"
SMUGGLED: Final = "proxy/test_smuggling.py::test_refused"
BROKEN: Final = "proxy/test_hostile.py::test_broken"
KILLS: Final = "end_to_end/test_kills.py::"
FAULTS: Final = "end_to_end/test_faults.py::"
JOURNAL: Final = "control/store/test_journal_file.py::"
MACHINE: Final = "rollout/machine/test_machine.py::"
TUNNEL: Final = "proxy/engine/test_tunnel.py::"

CASES: Final[dict[int, Case]] = {
    1: Case("CL and TE, with a hidden request", "C", (f"{REFUSED}[case 1:", SMUGGLED)),
    2: Case("Content-Length that is none", "C", (f"{REFUSED}[case 2:", SMUGGLED)),
    3: Case("Transfer-Encoding that is not chunked alone", "C", (f"{REFUSED}[case 3:", SMUGGLED)),
    4: Case("versions of HTTP", "C", (f"{REFUSED}[case 4:", SMUGGLED)),
    5: Case("spaces and folds around names", "C", (f"{REFUSED}[case 5:", SMUGGLED)),
    6: Case("bare LF and CR, NUL, control characters", "C", (f"{REFUSED}[case 6:", SMUGGLED)),
    7: Case(
        "Host",
        "C",
        (f"{REFUSED}[case 7:", SMUGGLED, "proxy/http1/test_heads.py::test_the_authority_of_an_absolute_target_wins"),
    ),
    8: Case(
        "chunks and trailers",
        "C",
        (
            f"{REFUSED}[case 8:",
            "proxy/http1/test_chunks.py::test_malformed_framing_is_refused_in_every_cut",
            "proxy/engine/test_downstream.py::test_a_bad_chunk_after_the_head_cuts_the_backend_without_a_last_chunk",
        ),
    ),
    9: Case("heads beyond the limits", "C", (f"{REFUSED}[case 9:", SMUGGLED)),
    10: Case(
        "bodies beyond the limit",
        "C",
        (
            f"{REFUSED}[case 10:",
            "proxy/engine/test_local_replies.py::test_a_declared_body_above_the_limit_is_413_and_reaches_nobody",
        ),
    ),
    11: Case(
        "clients that are slow",
        "C",
        (
            CLIENT + "test_slow_clients_hold_nobody_up_and_end_by_their_deadline",
            "proxy/engine/test_attempt.py::test_a_client_that_takes_nothing_is_cut_and_no_fault",
            "proxy/engine/test_flow_control.py::test_a_slow_reader_holds_the_backend_back_and_memory_stays_bounded",
            "proxy/engine/test_closing.py::test_an_idle_connection_is_closed_silently",
        ),
        "200 at a time; thousands are a matter of load",
    ),
    12: Case(
        "pipelines with garbage at the end",
        "C",
        (
            f"{REFUSED}[case 12:",
            "proxy/engine/test_downstream.py::test_pipelined_requests_are_answered_in_order",
            "proxy/engine/test_closing.py::test_bytes_after_connection_close_do_not_harm_the_request_before",
        ),
    ),
    13: Case(
        "the client resets, at four moments",
        "C",
        (
            CLIENT + "test_a_client_that_resets_cancels_upstream_at_once[case 13: client resets mid-stream",
            "proxy/engine/test_attempt.py::test_who_leaves_in_the_middle_of_an_upload_waited_for_nobody",
            "rollout/judge/test_hang.py::test_clients_that_give_up_after_two_seconds_are_evidence",
        ),
    ),
    14: Case(
        "half-close after the request",
        "C",
        (
            "proxy/engine/test_closing.py::test_a_half_closed_client_is_still_answered",
            "proxy/engine/test_closing.py::test_a_client_that_closed_is_taken_for_gone_after_the_grace",
        ),
        "answered if the response begins within half_close_grace_s: a FIN does not tell a half-close from a departure",
    ),
    15: Case(
        "Expect: 100-continue",
        "C",
        (
            CLIENT + "test_who_waits_for_no_100_is_served_all_the_same",
            CLIENT + "test_a_body_that_nobody_asked_for_is_not_sent_after_a_final_answer",
            "proxy/engine/test_downstream.py::test_expect_100_continue_is_asked_of_the_backend",
            "proxy/engine/test_downstream.py::test_a_final_answer_instead_of_100_ends_the_connections",
        ),
    ),
    16: Case(
        "Upgrade",
        "C",
        (
            TUNNEL + "test_what_does_not_ask_for_a_websocket_is_an_ordinary_request_and_never_a_tunnel",
            TUNNEL + "test_what_the_client_sends_before_the_101_waits_for_it_and_is_bounded",
            TUNNEL + "test_of_several_protocols_only_websocket_is_passed_on",
            TUNNEL + "test_any_other_answer_is_an_ordinary_one",
            "proxy/test_unusual.py::test_served_unchanged",
        ),
    ),
    17: Case(
        "CONNECT, TRACE, targets that are asterisks",
        "C",
        (f"{REFUSED}[case 17:", SMUGGLED, "proxy/http1/test_heads.py::test_asterisk_form_is_for_options"),
    ),
    18: Case(
        "hop-by-hop fields",
        "C",
        (
            "proxy/http1/test_heads.py::test_hop_by_hop_and_forged_fields_are_removed_and_framing_stays",
            "proxy/http1/test_heads.py::test_each_connection_field_is_removed_however_often_it_comes",
            "proxy/http1/test_heads.py::test_connection_cannot_take_the_request_id_away",
            "proxy/test_unusual.py::test_served_unchanged",
        ),
    ),
    19: Case(
        "forged fields",
        "C",
        (
            "proxy/http1/test_heads.py::test_hop_by_hop_and_forged_fields_are_removed_and_framing_stays",
            "proxy/http1/test_heads.py::test_fields_that_are_ours_in_a_request_are_the_backends_own_in_a_response",
        ),
    ),
    20: Case(
        "path tricks",
        "C",
        (
            f"{REFUSED}[case 20:",
            CLIENT + "test_the_admin_is_not_reachable_from_the_data_port",
            "proxy/test_unusual.py::test_served_unchanged",
            "proxy/test_data_plane.py::test_services_are_matched_by_host_and_longest_prefix_at_a_segment",
        ),
        "the normal form that routing decides on is the path as it came",
    ),
    21: Case(
        "refused, or reset at accept",
        "U",
        (
            TARGET + "test_a_reset_at_accept_is_a_fault_and_answered_at_once",
            "proxy/engine/test_failover.py::test_another_endpoint_recovers_without_a_fault_of_the_version",
            "proxy/engine/test_failover.py::test_nobody_to_rescue_is_502",
        ),
    ),
    22: Case(
        "a black hole", "U", (TARGET + "test_a_black_hole_is_504_at_the_connect_timeout_and_harms_no_other_service",)
    ),
    23: Case(
        "a pooled connection closed as we send",
        "U only if the retry fails",
        (
            TARGET + "test_a_connection_closed_as_we_reuse_it[case 23: a sent POST, never twice",
            TARGET + "test_a_connection_closed_as_we_reuse_it[case 23: an idempotent GET",
            TARGET + "test_a_second_stale_connection_is_not_tried_a_third_time",
            "proxy/http1/test_heads.py::test_the_backends_own_idle_timeout_is_kept_with_a_second_to_spare",
        ),
        "how rare: docs/performance.md, connections that go stale",
    ),
    24: Case(
        "accepts and never answers",
        "U",
        (
            TARGET + "test_at_every_byte_a_response_may_end[case 24 and 25: stalls",
            "proxy/engine/test_exchange.py::test_no_first_byte_in_time_is_504_and_timed_out",
            "rollout/judge/test_hang.py::test_hang_needs_three_waits_and_its_time",
            "end_to_end/test_rollback.py::test_a_failing_version_is_rolled_back",
        ),
    ),
    25: Case(
        "stalls mid-stream",
        "U",
        (
            TARGET + "test_at_every_byte_a_response_may_end[case 24 and 25: stalls",
            "proxy/engine/test_exchange.py::test_silence_within_the_response_cuts_it",
            TARGET + "test_a_byte_a_time_is_one_response",
        ),
    ),
    26: Case(
        "less than announced",
        "U",
        (
            TARGET + "test_at_every_byte_a_response_may_end[case 26: closes",
            TARGET + "test_at_every_byte_a_response_may_end[case 26: resets",
            "proxy/engine/test_upstream.py::test_a_body_that_was_cut_never_looks_whole",
            BROKEN,
        ),
    ),
    27: Case(
        "responses that are not HTTP", "U", (TARGET + "test_the_next_client_gets_its_own_answer[case 27:", BROKEN)
    ),
    28: Case(
        "bytes behind the end",
        "none: answered whole",
        (
            TARGET + "test_the_next_client_gets_its_own_answer[case 28:",
            TARGET + "test_a_head_whose_body_comes_late_poisons_nobody",
            "proxy/test_hostile.py::test_bytes_behind_the_end_reach_nobody",
            "proxy/engine/test_upstream.py::test_an_idle_connection_that_speaks_is_dropped",
        ),
    ),
    29: Case(
        "interim responses",
        "U",
        (
            TARGET + "test_the_next_client_gets_its_own_answer[case 29:",
            TARGET + "test_a_connection_that_ends_after_an_interim_response_is_not_stale",
            "proxy/engine/test_upstream.py::test_what_the_backend_breaks_is_502_and_its_connection_is_not_used_again",
            BROKEN,
        ),
    ),
    30: Case(
        "an early answer to a large upload",
        "none",
        (
            "proxy/engine/test_upstream.py::test_an_early_answer_to_a_large_upload_is_delivered_although_the_write_fails",
        ),
    ),
    31: Case(
        "a burst of 5xx",
        "U",
        (
            "rollout/judge/test_hard_failure.py::test_burst_needs_ten_faults_and_nine_in_ten",
            MACHINE + "test_no_better_target_is_raised_once_and_checked_each_second",
            "end_to_end/test_rollback.py::test_both_bad_holds_without_flapping_until_the_standby_is_better",
        ),
        "a split is not built: the burst is that of the whole traffic of the active version",
    ),
    32: Case(
        "fast because it fails",
        "U",
        (
            "rollout/judge/test_latency.py::test_failures_are_not_fast",
            "proxy/engine/test_attempt.py::test_a_server_error_has_not_begun_and_is_no_fast_answer",
            "proxy/engine/test_attempt.py::test_a_stream_that_was_cut_is_no_quick_answer",
        ),
        "a 200 with an error in its body needs response validators, which are not built",
    ),
    33: Case(
        "slow only when cold, or only under load",
        "U",
        (
            "rollout/judge/test_latency.py::test_a_warm_up_is_granted",
            "rollout/judge/test_latency.py::test_slow_first_requests_alone_roll_nothing_back",
            "rollout/judge/test_latency.py::test_a_sustained_breach_acts_after_five_minutes",
        ),
    ),
    34: Case(
        "streams and WebSockets over a switch",
        "none: cut",
        (
            "proxy/engine/test_local_service.py::test_a_switch_moves_the_next_request_and_leaves_the_stream",
            "proxy/engine/test_local_service.py::test_cut_ends_what_is_left_on_a_slot",
            TUNNEL + "test_a_tunnel_survives_a_switch_on_the_version_it_began_on",
            TUNNEL + "test_a_drain_cuts_a_tunnel_with_a_reset_and_no_fault",
            MACHINE + "test_the_drain_of_a_failed_version_is_cut_once",
        ),
    ),
    35: Case(
        "mirrored requests",
        "none",
        ("rollout/machine/test_machine.py::test_the_standby_must_do_better_with_what_was_rescued",),
        "not built; the only second try of a request is a rescue, which the service has to allow",
    ),
    36: Case(
        "kill -9 of a worker",
        "none: cut",
        (
            FAULTS + "test_workers_killed_under_load_lose_only_what_they_had_open",
            "supervisor/test_child.py::TestBackoff::test_doubles_up_to_five_seconds",
            "shm/test_worker_stats.py::test_closing_a_dead_worker_conserves",
        ),
        "6 kills at 200 requests/s: the machine of the tests has two cores",
    ),
    37: Case(
        "kill -9 of the supervisor, of everything, at each step",
        "P",
        (
            KILLS + "test_kills_at_random_times_lose_nothing_that_was_acknowledged",
            KILLS + "test_kills_at_fail_points_lose_nothing_that_was_acknowledged",
            KILLS + "test_a_start_that_dies_at_a_fail_point_can_be_repeated",
        ),
    ),
    38: Case(
        "a worker that stands still",
        "P",
        (
            FAULTS + "test_a_worker_that_stood_still_goes_on_and_counts_nothing_twice",
            KILLS + "test_a_stopped_worker_or_control_is_replaced",
            "control/core/test_sampler.py::test_our_own_stalls_are_seen",
            "rollout/stats/test_window.py::test_a_stalled_stretch_and_its_echo_leave_the_window",
        ),
    ),
    39: Case(
        "a journal that cannot be written or read",
        "P",
        (
            FAULTS + "test_without_room_for_the_journal_traffic_goes_on_and_people_are_told",
            JOURNAL + "test_a_full_disk_refuses_people_and_takes_the_verdict_once_there_is_room",
            JOURNAL + "test_a_busy_disk_refuses_people_and_keeps_the_verdict_for_later",
            JOURNAL + "test_a_read_only_file_refuses_people",
            JOURNAL + "test_a_damaged_page_ends_the_start_with_the_command_that_continues",
        ),
    ),
    40: Case(
        "two changes at once",
        "none",
        (
            "end_to_end/test_switch.py::test_two_switches_at_once_leave_one_route_and_one_history",
            "control/core/test_operations.py::test_of_two_changes_at_once_one_wins",
            "control/core/test_loop.py::test_a_verdict_overtakes_a_change_that_waits_for_the_disk",
            "control/admin/test_operation.py::test_the_same_key_gives_the_same_answer_without_a_second_change",
        ),
    ),
    41: Case(
        "a clock that jumps",
        "none",
        (
            "runtime/test_clock.py::test_decisions_use_the_monotonic_clock_that_all_processes_share",
            "test_structure.py::test_only_there[one clock",
            JOURNAL + "test_what_was_appended_is_read_again",
        ),
        "no clock is moved in the tests: wall time is written and shown, and read by no decision",
    ),
    42: Case(
        "no descriptors, full queues, overload",
        "P",
        (
            FAULTS + "test_a_worker_without_descriptors_neither_spins_nor_dies",
            "proxy/test_fault_router.py::test_no_descriptor_for_a_backend_is_our_fault",
            "proxy/engine/test_local_replies.py::test_one_connection_too_many_is_503",
            "proxy/engine/test_exchange.py::test_a_full_target_is_503_saturated",
            "control/core/test_sampler.py::test_our_own_faults_make_the_numbers_doubtful",
            "rollout/judge/test_error_rate.py::test_an_unwell_router_pauses_it",
        ),
    ),
    43: Case(
        "SIGTERM and hand-over under load",
        "none: cut",
        (
            "end_to_end/test_stop.py::test_a_stop_loses_no_request_and_resets_no_connection",
            "proxy/test_data_plane.py::test_a_draining_worker_is_not_ready",
            "end_to_end/test_faults.py::test_a_second_sigterm_hurries",
        ),
    ),
    44: Case("a store of a fleet", "none", (), "there is no such store: every router judges for itself (README)"),
}
