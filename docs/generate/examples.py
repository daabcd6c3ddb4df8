"""Example values of settings that have no default, or whose default is empty. A key is CLASS.FIELD."""

from __future__ import annotations

from typing import Any, Final

EXAMPLES: Final[dict[str, Any]] = {
    "Settings.workers": 4,
    "Settings.state_dir": "/var/lib/rollback-router",
    "Settings.notify": [
        {
            "name": "on-call",
            "kind": "slack",
            "url_file": "/etc/rollback-router/slack.url",
            "events": ["rollback", "no_better_target", "alarm"],
            "services": ["fraud"],
        },
        {
            "name": "audit",
            "kind": "webhook",
            "url": "https://events.example.com/rollback-router",
            "hmac_secret_file": "/etc/rollback-router/webhook.secret",
        },
    ],
    "CertificateFiles.certificate": "/etc/rollback-router/fullchain.pem",
    "CertificateFiles.key": "/etc/rollback-router/key.pem",
    "ListenTls.certificate": "/etc/rollback-router/fullchain.pem",
    "ListenTls.key": "/etc/rollback-router/key.pem",
    "ListenTls.certificates": [
        {
            "server_names": ["models.example.com", "*.models.example.com"],
            "certificate": "/etc/rollback-router/models.pem",
        }
    ],
    "ListenTls.client_ca": "/etc/rollback-router/clients-ca.pem",
    "NamedCertificate.key": "/etc/rollback-router/models.key",
    "Admin.tokens": [{"name": "ci", "role": "operator", "sha256": "…"}],
    "Admin.public_url": "https://rollback.example.com",
    "AlertSettings.tokens": [{"name": "alertmanager", "sha256": "…"}],
    "AlertSettings.hmac_secret_file": "/etc/rollback-router/alerts.secret",
    "AlertSettings.map": [
        {
            "kind": "quality",
            "matchers": {"severity": "critical", "signal": "quality"},
            "patterns": {"team": "ml-.*"},
            "service_label": "service",
            "version_label": "version",
        }
    ],
    "AlertMap.service": "fraud",
    "Channel.url": "https://events.example.com/rollback-router",
    "Channel.url_file": "/etc/rollback-router/slack.url",
    "Channel.hmac_secret_file": "/etc/rollback-router/webhook.secret",
    "MlflowSettings.tracking_uri": "http://mlflow.internal:5000",
    "MlflowSettings.secret_file": "/etc/rollback-router/mlflow.token",
    "MlflowSettings.user": "rollback-router",
    "Service.active": {"version": "fraud-v1", "endpoints": ["http://127.0.0.1:9001"]},
    "Service.standby": {"version": "fraud-v0", "endpoints": ["http://127.0.0.1:9000"]},
    "Service.first_byte_timeout_s": 120.0,
    "Service.idle_timeout_s": 60.0,
    "Service.standby_cost_per_hour": 1.25,
    "BackendTlsSettings.ca": "/etc/rollback-router/backends-ca.pem",
    "BackendTlsSettings.server_name": "model.internal",
    "BackendTlsSettings.certificate": "/etc/rollback-router/client.pem",
    "BackendTlsSettings.key": "/etc/rollback-router/client.key",
    "Objective.availability": 0.999,
    "Cases.latency_ms_max": 800.0,
    "ModelSettings.model": "fraud",
    "ModelSettings.alias": "champion",
    "ValidationSettings.request_schema": '{"type": "object", "required": ["inputs"]}',
    "ValidationSettings.response_schema": '{"type": "object", "required": ["outputs"]}',
    "ValidationSettings.response_finite": ["/outputs/*/data"],
    "ValidationSettings.response_label_in": [{"pointer": "/label", "allowed": ["fraud", "ok"]}],
    "ValidationSettings.stream_end": "[DONE]",
    "InputSettings.fields": [{"pointer": "/amount", "kind": "number"}],
    "Probe.body": '{"inputs": []}',
    "Probe.expect_text": "outputs",
    "Probe.infers": True,
    "Probe.every_s": 10.0,
    "Acceptance.fault_share_max": 0.005,
    "Acceptance.fault_factor_max": 1.5,
    "Acceptance.late_share_max": 0.05,
    "Acceptance.first_byte_p99_ms_max": 400.0,
    "Acceptance.longest_wait_s_max": 10.0,
    "Acceptance.invalid_share_max": 0.001,
    "HardFailureRule.hang_after_s": 20.0,
    "LatencyRule.slo_ms": 800.0,
}
