"""15 mistakes that a Python proxy on llhttp makes easily, and the tests that show that this router makes none of them."""

from __future__ import annotations

from typing import Final

from tests.fault_catalogue import BROKEN, CASES, CLIENT, REFUSED, SMUGGLED, TARGET, Case

TRAPS: Final[dict[int, Case]] = {
    1: Case(
        "bytes behind a message with Connection: close, in the same read",
        "C",
        ("proxy/engine/test_closing.py::test_bytes_after_connection_close_do_not_harm_the_request_before",),
    ),
    2: Case("llhttp takes HTTP/0.9 and HTTP/2.0", "C", (f"{REFUSED}[case 4: HTTP/2.0", SMUGGLED)),
    3: Case("a 502 in a response that has begun", "U", (TARGET + "test_at_every_byte_a_response_may_end", BROKEN)),
    4: Case(
        "a cut body that looks whole",
        "U",
        ("proxy/engine/test_upstream.py::test_a_body_that_was_cut_never_looks_whole", BROKEN),
    ),
    5: Case(
        "absolute-form targets",
        "C",
        (
            "proxy/http1/test_heads.py::test_the_authority_of_an_absolute_target_wins",
            "proxy/test_unusual.py::test_served_unchanged",
        ),
    ),
    6: Case("bytes above 0x7f", "C", (CLIENT + "test_fields_above_0x7f_pass_byte_for_byte_in_both_directions",)),
    7: Case(
        "codings of a backend; HEAD with a body",
        "U",
        (
            BROKEN,
            TARGET + "test_a_head_whose_body_comes_late_poisons_nobody",
            "proxy/test_hostile.py::test_bytes_behind_the_end_reach_nobody",
        ),
    ),
    8: Case("CL and TE", "C", (f"{REFUSED}[case 1:", SMUGGLED)),
    9: Case(
        "a bad or late chunk after the head was forwarded",
        "C",
        (
            "proxy/engine/test_downstream.py::test_a_bad_chunk_after_the_head_cuts_the_backend_without_a_last_chunk",
            "proxy/engine/test_downstream.py::test_a_client_that_stops_is_408_and_no_fault[chunk",
        ),
    ),
    10: Case(
        "Expect",
        "C",
        (
            "proxy/http1/test_heads.py::test_expect_is_passed_on_only_with_a_body",
            CASES[15].tests[0],
            CASES[15].tests[1],
            SMUGGLED,
        ),
    ),
    11: Case("Upgrade: h2c", "C", (CASES[16].tests[0], "proxy/test_unusual.py::test_served_unchanged")),
    12: Case("Host", "C", (f"{REFUSED}[case 7:", SMUGGLED)),
    13: Case(
        "underscores in the names of framing fields",
        "C",
        ("proxy/http1/test_heads.py::test_a_lookalike_is_left_out_and_the_request_is_served", SMUGGLED),
    ),
    14: Case("line ends of str.splitlines", "C", (SMUGGLED, BROKEN)),
    15: Case(
        "trailers that frame, route or authenticate",
        "C",
        (
            "proxy/http1/test_chunks.py::test_every_cut_gives_the_same_bytes_without_forbidden_trailers",
            "proxy/http1/test_chunks.py::test_trailers_that_the_router_sets_itself_are_dropped",
        ),
    ),
}
