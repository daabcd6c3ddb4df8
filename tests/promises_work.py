"""The rows of promises.py about what an answer comes to beyond its head."""

from __future__ import annotations

from typing import Final

from tests.promises import Guard

# fmt: off
WORK: Final = (
    # promise 4
    Guard(4, "proxy/work/test_answer_watch.py::test_responses",
          "proxy/work/event_stream.py", "_kind_of",
          "if name.lower() in _PING_NAMES or is_ping(data.strip()): return _Event.PING"),
    Guard(4, "proxy/work/test_answer_watch.py::test_responses",
          "proxy/work/answer_watch.py", "AnswerWatch.ended",
          "self.check_tail()"),
    Guard(4, "proxy/work/test_answer_watch.py::test_a_client_that_closes_after_it_has_read_an_error_has_seen_a_fault",
          "proxy/engine/attempt.py", "Attempt.departure_outcome",
          "if self.watch is not None and self.watch.check_tail(): return self.watch.outcome"),
    Guard(4, "proxy/work/test_event_stream.py::test_the_result_is_the_same_for_every_split",
          "proxy/work/event_stream.py", "_kind_of",
          "if _is_empty(document): return _Event.PING"),
    Guard(4, "proxy/work/test_event_stream.py::test_json_lines",
          "proxy/work/event_stream.py", "LineReader._line",
          "elif _is_empty(document):", weakened="elif False"),
    Guard(4, "proxy/work/test_answer_watch.py::test_white_space_that_keeps_a_connection_open_is_no_work",
          "proxy/engine/exchange.py", "Exchange.relay",
          "self.moved = len(data) > _KEEP_ALIVE_BYTES_MAX or event_stream.moves(data, framed=True)", weakened="True"),
    Guard(4, "rollout/judge/progress/test_useful_share.py::test_a_version_that_has_hardly_ever_worked_does_not_teach_what_is_normal",
          "rollout/judge/progress/work_state.py", "_moves",
          "if before is not None and (means[0] is None or at_ns - promoted_at_ns < MEAN_PARTS * PART_NS):"),
    Guard(4, "proxy/work/test_answer_watch.py::test_white_space_that_keeps_a_connection_open_is_no_work",
          "proxy/work/answer_watch.py", "AnswerWatch.__init__",
          "self.events = head.kind in (EVENT_STREAM, ENCODED_STREAM, JSON_LINES) and head.status < 300",
          weakened="without JSON_LINES"),
    Guard(4, "control/core/test_probes.py::test_each_failure_has_its_detail",
          "control/core/probe.py", "ProbeClient._request_once",
          "if probe.inference and response.status < 300 and _holds_error(probe.path, text):"),
    # promise 5
    Guard(5, "rollout/test_answer_error.py::test_what_is_no_error",
          "rollout/answer_error.py", "find",
          "if error and not isinstance(error, float) and (type(error) is not int or 400 <= error < 600): return error",
          weakened="if error"),
    Guard(5, "proxy/work/test_answer_watch.py::test_responses",
          "proxy/work/answer_watch.py", "AnswerWatch._check_json",
          "if error is not None and answer_error.is_alone(document): self._fail(error)", weakened="if error is not None"),
    Guard(5, "proxy/work/test_answer_watch.py::test_a_client_that_leaves_had_waited_or_had_been_served",
          "proxy/engine/attempt.py", "Attempt._work_end",
          "silent_s = 0.0 if exchange.paused_at_s else now_s - exchange.last_byte_s", weakened="now_s - self.sent_s"),
    Guard(5, "proxy/work/test_answer_watch.py::test_responses",
          "proxy/work/work_ends.py", "is_busy",
          "return retry_after or any(text in lower for text in texts)", weakened="never busy"),
    Guard(5, "proxy/engine/test_closing.py::test_a_half_closed_client_that_is_being_served_is_served_to_the_end",
          "proxy/engine/downstream.py", "Downstream.write",
          "if self.ended: self.context.half_closed.start(self, self.context.now_s)"),
)
# fmt: on
