"""The rows of promises.py about probes, about what a version carries, and about a router that only observes."""

from __future__ import annotations

from typing import Final

from tests.promises import Guard

# fmt: off
PROBES: Final = (
    # promise 4
    Guard(4, "control/core/test_probes.py::test_after_a_failure_it_is_probed_each_second",
          "control/core/probes.py", "_interval_s",
          "return min(interval_s, HURRIED_EVERY_S)", weakened="the interval of the settings"),
    Guard(4, "control/core/test_probes.py::test_a_useful_answer_of_a_client_replaces_an_inference_probe",
          "control/core/probes.py", "Probes._keep_probing",
          "while (left_s := self._postponed_s(watched, endpoint)) > 0:"),
    # promise 5
    Guard(5, "rollout/machine/test_inference_probes.py::test_an_answer_that_wants_credentials_is_neither",
          "rollout/machine/inference_probes.py", "probe_evidence",
          "good=sum(streak.good > 0 and not streak.unknown for streak in known)", weakened="unknown counts as good"),
    Guard(5, "rollout/machine/test_probe_streaks.py::test_an_unknown_result_is_neither_good_nor_bad",
          "rollout/machine/probe_streaks.py", "_after",
          "before.good + event.ok", weakened="times: an unknown result ends the streak"),
    Guard(5, "settings/test_loader.py::test_observe_overrules_every_action_and_survives_the_way_to_control",
          "settings/loader.py", "load",
          "return observing(settings) if settings.observe else settings"),
    # promise 6
    Guard(6, "rollout/machine/test_lifecycle.py::test_a_stranger_on_the_address_of_the_standby_is_not_good",
          "rollout/machine/lifecycle.py", "Lifecycle.probed",
          "self._streaks.record(self._compared(event, target))", weakened="recorded as it came"),
    # promise 10, and what a version carries
    Guard(10, "proxy/http1/test_head_rewrite.py::test_the_versions_fields_stand_once_and_no_line_is_added_or_lost",
          "proxy/http1/head_rewrite.py", "HeadRewrite.text",
          'fields = self._replaced.sub(b"", fields)'),
    Guard(10, "rollout/model/test_rewrite.py::test_what_is_no_headers_file_is_named_without_its_value",
          "rollout/model/rewrite.py", "parse_fields",
          'if name.replace("_", "-") in REFUSED_FIELDS:'),
    Guard(1, "proxy/engine/test_local_service.py::test_a_slot_that_is_filled_for_another_version_is_not_adopted_before_its_route",
          "proxy/engine/local_service.py", "LocalService._adopt_rewritten",
          "if content.incarnation == target.incarnation:"),
)
# fmt: on
