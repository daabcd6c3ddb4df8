"""The rows of promises.py about the router's own calls: notifications, MLflow, and the proxies on their way."""

from __future__ import annotations

from typing import Final

from tests.promises import Guard

# fmt: off
OUTGOING: Final = (
    Guard("outgoing calls", "control/notify/test_delivery.py::test_how_long_a_notification_is_of_use",
          "control/notify/delivery.py", "Delivery.useful_s",
          "if is_lasting(notification): return channel.give_up_after_s"),
    Guard("outgoing calls", "control/notify/test_delivery_queue.py::test_the_end_of_an_outage_keeps_the_order",
          "control/notify/delivery_queue.py", "DeliveryQueue.failed",
          "if not other_next and (not refused", weakened="without other_next"),
    Guard("outgoing calls", "control/notify/test_delivery_queue.py::test_retry_after_holds_for_the_channel",
          "control/notify/delivery_queue.py", "DeliveryQueue.failed",
          "self._due_s = max(self._due_s, now_s + retry_after_s)"),
    Guard("outgoing calls", "control/notify/test_delivery_queue.py::test_a_receiver_that_refuses_everything_is_not_asked_in_a_loop",
          "control/notify/delivery_queue.py", "DeliveryQueue.failed",
          "or self.failures >= OUTAGE_FROM"),
    Guard("outgoing calls", "control/notify/test_delivery_queue.py::test_what_is_dropped_first",
          "control/notify/delivery_queue.py", "DeliveryQueue.least_useful",
          "routine or found", weakened="found"),
    Guard("outgoing calls", "control/notify/test_addon.py::test_what_is_lost_is_an_alarm_that_the_other_channels_get",
          "control/notify/addon.py", "NotifyAddon._alarm_lost",
          "self._control_loop.alarms.up(GIVEN_UP"),
    Guard("outgoing calls", "control/notify/test_receiver_answer.py::test_failed_with_a_200",
          "control/notify/receiver_answer.py", "failure",
          "why = _failed_in_body(kind, text, document)"),
    Guard("outgoing calls", "control/notify/test_senders.py::test_a_receiver_that_repeats_its_address",
          "control/notify/senders.py", "HttpSender.send",
          "raw = without_address(raw, url)"),
    Guard("outgoing calls", "control/versions/test_mlflow_http.py::test_credentials_go_to_no_other_host",
          "control/versions/mlflow_http.py", "MlflowHttp._followed",
          "if (objection := redirect_objection(url, target)) is not None:"),
    Guard("outgoing calls", "control/versions/test_mlflow_addon.py::test_before_a_promotion_mlflow_is_asked_again",
          "control/core/operations.py", "Operations._prepared",
          "await self.models.refuse_promotion(service_controller.name, event.to)"),
    Guard("outgoing calls", "control/versions/test_mlflow_addon.py::test_a_release_here_is_newer_than_the_quarantine_there",
          "control/versions/mlflow_addon.py", "MlflowAddon._refuse_quarantined",
          "or self._updates.releases(service, version)"),
    Guard("outgoing calls", "rollout/versions/test_model_uri.py::test_every_name_has_a_label_of_its_own",
          "rollout/versions/model_uri.py", "label",
          'return f"{_plain(uri.name)}-v{uri.number}+{digest}"', weakened="without the hash"),
    Guard("outgoing calls", "control/test_forward_proxy.py::test_the_environment",
          "control/forward_proxy.py", "proxy_for",
          'if _is_loopback(host) or bypassed(host, port, _variable(environment, "no_proxy")[1]):'),
)
# fmt: on
