"""The golden table of texts that users see: key → text, as the production code renders it from the sample values of a test.

A test asserts codes and values, and compares a text through `golden(key)`. So a change of a text changes this file and no test.
`{name}` stands for a value that the test supplies.
"""

from __future__ import annotations

from typing import Final

from tests.verdict_texts import VERDICT_TEXTS


def golden(key: str, **values: object) -> str:
    """Return the text of a key with these values."""
    return TEXTS[key].format(**values)


TEXTS: Final[dict[str, str]] = VERDICT_TEXTS | {
    # Access log, spans
    "access_log.disk_full": "access log {path}: No space left on device",
    "access_log.no_folder": "access log {path}: No such file or directory",
    "spans.not_sent": "spans of 1 requests are not sent to {url}: the receiver is away, or refuses them",
    # Admin port
    "admin.malformed_requests": "admin port: 1 malformed requests since the last such line, the last from 127.0.0.1: ",
    "admin.reached_from_outside": "can be reached from outside",
    "admin.wrong_credentials": "admin port: 500 wrong credentials since the last such line, the last (token_invalid) from 192.0.2.2",
    # Proposals from history (advise)
    "advice.too_short": "0.3 days are too little to propose anything stricter (7 are needed)",
    # Alerts
    "alert.silent": "alert Drift: PSI 0.4 is not resolved, but it was not received again for 601 s",
    "alerts.truncated": '4 alerts were left out of group {{}}:{{alertname="Drift"}} (sender: am): raise max_alerts of its webhook (Grafana: Max Alerts), or split the group',
    "alerts.beginning": "only {alerts} alerts at its beginning were read",
    # Cases
    "cases.all_pass": "v4 is ready, 5 of 5 cases pass: ",
    "cases.answer_too_long": "the answer is longer than {limit} bytes and is not compared",
    "cases.body_not_kept": "its body was not kept: set cases.bodies = true for the service",
    "cases.capture_off": "nothing was captured: [cases] capture is off",
    "cases.check_too_long": "the whole check did not end within 0.18 s",
    "cases.differs": "it differs from the recorded answer",
    "cases.failing": "1 of 2 cases fails on v3: {bad}; repair it and deploy it anew, remove a case that is wrong, or override with actor and reason",
    "cases.five_fail": "v3 is ready, but 5 cases fail on it: ",
    "cases.late": "the first byte came after 12 ms, and 10 are allowed",
    "cases.no_first_byte": "no first byte within 0.05 s",
    "cases.made_late": "2 regression cases were made of 2 failing requests of v1, 1 of which ended more than 4 s after it",
    "cases.making": "the cases of the last rollback are still made, so v3 is not checked with them yet: wait until it is (status shows it), or override with actor and reason",
    "cases.none_made": "no cases were made: the router ended before ",
    "cases.not_checked": "the cases of this service are not checked on v3 yet: wait until they are (status shows it), or override with actor and reason",
    "cases.not_whole": "not kept whole (cases.bodies, cases.body_bytes_max)",
    "cases.search_spent": "all searches together took too long",
    "cases.field_redacted": "redaction changes a header field without which its body cannot be read",
    "cases.hidden_body": "searching it took too long",
    "cases.slow_pattern": "redact_patterns took too long, and what they did not search is redacted as a whole: '(a+)+$'",
    "cases.unstorable_line": "line 2: cannot be kept as JSON: Recursion limit reached",
    # Candidate causes
    "cause.slow": "v2 answers, but too slowly: it is slower by itself, or has too little capacity",
    # Output of the command line
    "cli.action_row": "a1      done   preventive  bob    –    a test",
    "cli.actions_header": "action  state  kind        owner  due  what",
    "cli.advise": (
        "service default: 14.0 d of active versions in 120960 rows since 2026-10-24T00:00:00.000Z, 1 rollback\n"
        "  2025-11-23T12:25:00.000Z  v1 left, by error_rate\n"
        "\n"
        "error_rate (action observe)\n"
        "                   limits             rollbacks detected  s before  alarms     false  false a month  at 95 %\n"
        "as it is           –                  1 of 1              12        1          0      0              0 to 6.42\n"
        "→ twice as strict  rate_floor = 0.01  1 of 1              700       8 or more  7      15.1           7.1 to 28.4\n"
        "proposed: twice as strict; 1 instead of 1 rollback detected\n"
        "{false_windows}  and 2 more (--json)\n"
        "\n"
        "observed by the running router: error_rate would have acted on v1 from 2025-11-23T12:13:20.000Z to 2025-11-23T12:14:20.000Z\n"
        "settings to paste (then SIGHUP); a table that is there already is to be changed instead:\n"
        "\n"
        "[services.default.rules.error_rate]\n"
        "rate_floor = 0.01\n"
        "\n"
        "False means: no rollback followed.\n"
    ),
    "cli.alerts": (
        "received                  service  kind     alert  state   version   result            reason                      summary   sender\n"
        "2026-11-23T04:05:00.000Z  fraud    quality  Drift  firing  fraud-v8  counts            it counts against fraud-v8  PSI 0.41  am\n"
        "2026-11-23T04:05:00.000Z  fraud    quality  Drift  firing  fraud-v7  version_inactive  it is about fraud-v7        PSI 0.41  am\n"
    ),
    "cli.table_in_blocks": "version  fraud-v8-with-a-long-label\nstate    active\nreason   9 of 10 requests failed within\n",
    "cli.awaits": "another operator approves it: rollback-router approve {proposal}\n",
    "cli.cases_added": "cases: 1 added, 1 known before, 1 older gone",
    "cli.channels": (
        "channel  kind   sent  given up  dropped  waiting  failing  last error\n"
        "ops      slack  3     0         0        1        yes      the receiver answered 500\n"
    ),
    "cli.criteria_added_header": "added        limit  from         at                        reason",
    "cli.criteria_header": "criterion    state    value  limit  samples  from         reason",
    "cli.criteria_of_settings": "the settings require: 500 requests, 600 s, every case, quality_alerts ≤ 0",
    "cli.drill_alarm": "DRILL default-drill-3 is under way: rollback-router drill --stop ends it\n",
    "cli.drill_home": "back to v1: generation 0.6, swapped in 41 µs, confirmed by every worker 2.1 ms later",
    "cli.drill_overdue": "service default: last passed never (OVERDUE); next 2026-12-01T09:00:00.000Z",
    "cli.drill_refused": "no drill of default now: v2 is cold",
    "cli.drill_shadow": "nothing was swapped: probe 3.2 ms, gate 20 µs, route 4 µs, journal 1.5 ms",
    "cli.drill_swapped": "default-drill-3: v2 serves instead of v1, swapped in 41 µs, confirmed by every worker 2.1 ms later; back in 10 s (now: rollback-router drill --stop)\n",
    "cli.drill_there": "to v2: generation 0.5, swapped in 41 µs, confirmed by every worker 2.1 ms later",
    "cli.drills_header": "drill            started                   mode  by   from  to  away    result  reasons",
    "cli.dry_run": "dry run: the change would be made",
    "cli.false_means": "False means: no rollback followed.",
    "cli.incident": (
        "i1: open, no severity yet\n"
        "green failed.\n"
        "note: The trigger is unknown.\n"
        "\n"
        "figure                       value\n"
        "fault → decision             9.9 s\n"
        "decision → swap              41 µs\n"
        "swap → last worker           –\n"
        "fault → recovered            –\n"
        "requests meanwhile           1005\n"
        "errors                       5 timed_out\n"
        "rescued                      0\n"
        "failed for clients, at most  5\n"
        "share of the error budget    5.00 % (99.9 % of 100000 requests in 30 days)\n"
        "\n"
        "time   from decision  actor  event\n"
        "12:00  -9.900 s       –      the first fault\n"
        "\n"
        "strength  possible cause  evidence\n"
        "some      a hang          5 of 5\n"
        "\n"
        "failing requests: all 1 that were captured\n"
        "time   request      endpoint    outcome    status  rescued\n"
        "12:01  POST /infer  http://a:1  timed_out  –       blue: ok\n"
        "\n"
        "owner: none yet\n"
        "root cause: not known yet\n"
        "next: rollback-router incidents i1 --root-cause TEXT   (a page: --html FILE)\n"
    ),
    "cli.incidents": (
        "id  started  service  from   to    reason   manual  status  owner\n"
        "i1  12:00    default  green  blue  9 of 10  no      open    –\n"
    ),
    "cli.inputs": (
        "DRIFTED: /amount is missing in 9.0% of 500 requests\n"
        "reference: 1000 requests to v1\n"
        "field    kind    from  to    categories  usually missing  range is checked\n"
        "/amount  number  0.5   99.5  –           0.30 %           yes\n"
        "/id      any     –     –     –           0.30 %           no\n"
    ),
    "cli.journal": "seq  at     service  type      actor  data\n8    12:00  default  promoted  ann    to=green, n=1\n",
    "cli.judge": (
        "green is well\n"
        "trigger                state           action    value  limit  baseline  samples  reason     still missing\n"
        "hard_failure (errors)  pass            rollback  0 %    90 %   –         40       0 of 40    10 faults more\n"
        "latency                not_configured  rollback  –      –      –         0        no slo_ms  –\n"
        "an automatic rollback would not pass the gate: 2 of 3 probes\n"
        "validated: request ok 10, schema 2; response ok 8\n"
        "inputs: DRIFTED, /amount is missing in 9.0% of 500 requests\n"
        "on probation: requests: 9 of 500\n"
    ),
    "cli.name_a_service": (
        "rollback-router: there are several services, name one: a, b\nnext: rollback-router rollback --admin {url} --service NAME\n"
    ),
    "cli.name_a_version": "rollback-router: name a VERSION of the router, or --url URL with --cases FILE",
    "cli.no_alert": "no alert came in yet: see alerts.tokens\n",
    "cli.no_cases_file": "line 1: schema: a file of cases begins with",
    "cli.label_of_a_model": "{source} is {label} here\n",
    "cli.no_channel": "no channel is configured: add [[notify]] to the settings\n",
    "cli.no_inputs": "no field is checked: name fields in [services.NAME.inputs]\n",
    "cli.no_proposal": "there are no proposals\n",
    "cli.no_router": (
        "rollback-router: no router answers at {url}: Connection refused\n"
        "next: rollback-router run --blue BLUE_URL --green GREEN_URL   (or name the running one: --admin URL)\n"
    ),
    "cli.no_router_unix": "no router answers at unix:{folder}/admin.sock: Connection refused",
    "cli.no_such_version": "rollback-router: service default has no version 'v9'",
    "cli.not_an_admin": "rollback-router: {url} answered 200, but not as a router's admin API\n",
    "cli.not_ready": "rollback-router: v3 did not become ready, it is failed: refused for 900 s\n",
    "cli.notify_test": ("channel  kind   delivered  took   answer\nops      slack  yes        12 ms  200 ok\n"),
    "cli.notify_test_failed": "mail     apprise  no         10000 ms  no answer within 10 s",
    "cli.older_in_journal": "4 older periods are in the journal only",
    "cli.on_probation": "service default: v3 is on probation",
    "cli.open_incidents": "open incidents: i5, i4, i3 and 2 more: rollback-router incidents i5",
    "cli.port_in_use": "rollback-router: listen 127.0.0.1:8080 is in use\n",
    "cli.probation": "on probation: 9 of 500 requests, 9 of 600 s; fault_share: 1.20%, limit 0.50%\n",
    "cli.proposal_evidence": "business:a1: refunds (value 1, limit 0, samples 1); now: fail",
    "cli.proposal_impact": "so far: 43 requests in 1.2 s, 2 server_error, 0 rescued",
    "cli.proposals": (
        "id              state  service  version  active after approval  reason  expires  at expiry\n"
        "svc-rollback-1  open   svc      v2       v1                     late    12:30    hold\n"
    ),
    "cli.report": (
        "service default, 2026-10-24T00:00:00.000Z to 2026-11-23T00:00:00.000Z: rows of 3.0 d of that time are kept\n"
        "figure                  value               based on\n"
        "uptime, by requests     99.90 %             1000 requests, 1 failed, 0 rescued; with 95 % confidence at least 99.50 %\n"
        "uptime, by time         99.99 %             2.3 d with traffic, 20 s with more than 2.00 % failed; 16.4 h without\n"
        "stability of the model  99.80 %             2.9 d within limits, 8.3 min outside, 2.6 h undecided\n"
        "deployments             7 a week            3 in 3.0 d; 1 switch back and forth not counted\n"
        "change failure rate     33.33 %             1 of 3 deployments was rolled back; with 95 % confidence 1.00 % to 91.00 %\n"
        "rollbacks               1                   1 automatic, 0 by an operator: default-1-7\n"
        "time to detect          2.5 s (p95 2.5 s)   1 of 1 rollback with a known beginning\n"
        "time to restore         –                   0 of 1 rollback with a known beginning\n"
        "warm standby            71.5 h, 143.00 EUR  at 2 EUR an hour\n"
    ),
    "cli.report_restore_row": "| time to restore | – | 0 of 1 rollback with a known beginning |",
    "cli.report_standby_row": "| warm standby | 1 h | set standby_cost_per_hour for the cost |",
    "cli.report_title": "service default, 2026-10-24T00:00:00.000Z to 2026-11-23T00:00:00.000Z: rows of 3.0 d of that time are kept.",
    "cli.retention": (
        "version  may be deleted  artifact  kept because\n"
        "v2       no              s3://m/2  active; one of the last 3 accepted versions\n"
        "v1       yes             s3://m/1  –\n"
        "artifacts that may be deleted:\n"
        "s3://m/1\n"
    ),
    "cli.settings_bad": "{file}:1:1: wrokers = 2: there is no such setting: did you mean workers?\n{file}:3:1: limits.head_bytes_max = -1: must be at least 1\nrollback-router: 2 mistakes in the settings",
    "cli.settings_differ": (
        "# {file}, read with the environment of this shell, has 1 value that the router does not run with:\n"
        "#   via: runs with false, the file has true\n"
    ),
    "cli.settings_good": "the environment: good; services: none, so run needs --blue URL\n",
    "cli.status": (
        "router 0.1.0, boot 1, 1 of 1 worker up\n"
        "\n"
        "service default: probation, generation 1.2, standby: blue\n"
        "version  role     state    ready  in flight  waiting  requests/s  p50     p99    faults  served\n"
        "green    active   active   yes    3          0        10          2.5 ms  40 ms  1.00 %  11\n"
        "blue     standby  standby  yes    3          0        10          2.5 ms  40 ms  1.00 %  11\n"
        "verdict: pass\n"
        "on probation: 12 of 500 requests, 3 of 600 s\n"
    ),
    "cli.status_alarms": (
        "router 0.1.0, boot 1, 1 of 1 worker up\n"
        "ALARM no_better_target (default): holding\n"
        "ALARM journal_unavailable: disk full\n"
        "\n"
        "service default: no_active, generation 1.2, NO ROLLBACK POSSIBLE: blue is quarantined\n"
        "version  role    state   ready  in flight  waiting  requests/s  p50  p99  faults  served\n"
        "green    active  active  no     3          0        –           –    –    –       11\n"
        "FROZEN by ann since 12:00: no reason given\n"
        "verdict: fail; 9 of 10\n"
        "last switch: 11:59 blue → green by ann: no reason given\n"
    ),
    "cli.status_work": (
        "work                  inference  asked  useful  without use       in progress  waiting  oldest wait  last useful\n"
        "POST /v1/completions  yes        24     2       3 fault, 1 empty  0            18       31 s         42 s ago\n"
        "GET /v1/models        no         7      7       –                 0            0        –            0.2 s ago\n"
        "NOTHING USEFUL from green for 42 s\n"
    ),
    "cli.switched": (
        "green is active, blue stands by\ngeneration 1.3: swapped in 12 µs, confirmed by every worker 1.3 ms later\n"
    ),
    "cli.switched_unconfirmed": (
        "green is active, blue stands by\n"
        "not confirmed by worker 1, 3 yet: rollback-router status shows when they have\n"
        "not in the journal yet: rollback-router doctor shows why\n"
        "incident i7: rollback-router incidents i7\n"
    ),
    "cli.version": (
        "fact         value\n"
        "service      default\n"
        "version      green\n"
        "state        retired\n"
        "endpoints    http://h:1, http://h:2\n"
        "artifact     s3://m/7\n"
        "registered   10:00, ann\n"
        "accepted     11:10\n"
        "rolled back  12:00, i1, 9 of 10 failed\n"
        "quarantined  12:00, verdict, 9 of 10 failed\n"
        "\n"
        "version  live from  until  began by       ended by\n"
        "green    11:00      12:00  promoted, ann  rolled_back, verdict, 9 of 10 failed, i1\n"
        "\n"
        "at     event        state     actor    reason\n"
        "12:00  rolled_back  draining  verdict  9 of 10 failed\n"
    ),
    "cli.version_period_row": "blue     12:00      now    rolled_back, verdict, 9 of 10 failed  –",
    "cli.versions": (
        "service  version  state    facts                               endpoints               artifact  quarantine reason  last change\n"
        "default  green    retired  accepted, rolled back, quarantined  http://h:1, http://h:2  s3://m/7  9 of 10 failed     12:00\n"
        "other    green    retired  rolled back, released until 14:00   http://h:1, http://h:2  s3://m/7  –                  12:00\n"
    ),
    "cli.versions_header": "service  version  state    facts                              endpoints               artifact  ",
    "cli.waiting_for_probes": "v3: 0 good probes in a row; http://h:1: status 503\n",
    # The demo
    "demo.no_rollback": "No rollback within the time allowed (fault: errors); 12 of 1,500 requests failed for their client.",
    "demo.rolled_back": "demo-v2 was rolled back to demo-v1 0.4 s after the fault began, because of hard_failure (errors): 12 of 12 attempts failed within 2 s. In all, 12 of 1,500 requests failed for their client, 0 were rescued on demo-v1. Every worker followed 1.2 ms after the verdict.",
    "demo.slow": "12 of 1,500 requests failed for their client and 70 were answered late, 0 were rescued",
    # Remedies of doctor
    "doctor.journal": "3 entries, none missing; last at 2026-01-01T00:00:00.000Z",
    "doctor.keep_state": "keep a copy of the state directory and report it",
    "doctor.renew_certificate": "renew it and write the new pair over the old files; or correct the settings",
    "doctor.restarts_workers": "see the router's log; it restarts them itself",
    "doctor.correct_probe": "correct probe to a request that this server answers: docs/behaviour/probes.md",
    "doctor.start_server": "start that model server, or correct its URL",
    # Input drift
    "drift.forgotten": "the reference is deleted, and a new one is learned",
    "drift.too_few": "600 requests were evaluated, 1000 are needed",
    "drift.unlearned": "there is no reference yet ({learned} learned; it needs 200 over {seconds} s, of an accepted version)",
    # Drills
    "drill.control_restarted": "control was started anew while it was under way",
    "drill.more_faults": "10 of 20 requests failed (before: 0 of 600; limit 1.0%)",
    "drill.no_way_home": "no swap back within 30 s: the last 3 probes of v1 were not all good",
    "drill.not_under_way": "drill d1 is not under way from v1",
    "drill.safe_now": "a drill would be safe now",
    "drill.slower": "18 of 20 first bytes took longer than 100 ms (before: 0 of 600; limit 5.0%)",
    "drill.slower_500_ms": "4 of 4 first bytes took longer than 500 ms (before: 0 of 0; limit 20.0%)",
    # Why a rollback is blocked
    "gate.fresh_probe_failed": "its fresh inference probe failed: {detail}",
    "gate.no_active": "there is no active version",
    "gate.nothing_better": "the active version fails and nothing better exists: {why}",
    "gate.probes_not_good": "the last 3 probes of v2 were not all good: too few yet",
    "gate.rolled_back_already": "this promotion was rolled back once already; another one needs an operator",
    "gate.standby_no_better": "the standby is no better",
    # History
    "history.rows_lost": "rows of the history are being lost: disk full",
    "history.set_aside": "the history was damaged and is kept as history.corrupt-1.sqlite; a new one was begun, without the earlier rows",
    # Incident documents
    "incident.chart": "![Requests per second, faults and first-byte times of both versions](fraud-3-17.svg)",
    "incident.disk_silent": "no answer from the disk for 12 s",
    "incident.impact_unknown": "Unknown: the samples of that time are lost.",
    "incident.journal_gone": "The journal of that time is no longer kept",
    "incident.rescued_figures": "of {rescued} requests that were rescued on fraud-v7 until the decision {answered} succeeded, {failed} failed again",
    "incident.samples_lost": "The samples of that time are lost (the router was restarted before they were saved)",
    "incident.start_unknown": "The start of the failure is unknown; impact is counted from the promotion, at most 15 minutes back.",
    "incident.affected": "The failures are more than 500 distinct requests of 1 client.",
    "incident.small_standby": "1 of 3 endpoints of fraud-v7 was good at the decision.",
    "incident.summary": "fraud-v8 failed in service fraud (300 of 1000 failed); the router rolled back to fraud-v7 automatically. It lasted 10.4 s from the first fault to recovery. At most 5 requests failed for clients. 300 were rescued on fraud-v7.",
    "incident.swap_unknown": "The duration of the swap is not known (yet).",
    "incident.timeline_row": "| 04:01:10.000 | 0 | the new route was stored: one 64-bit word |  |",
    "incident.windows_unknown": "The samples of that time are lost (the router was restarted before they were saved): windows are unknown.",
    # Journal
    "journal.mark_unreadable": "whether the journal's end is missing is not known",
    "journal.tail_missing": "2 entries were written and acknowledged, up to generation 0.2, and there are 1",
    # Limits
    "limits.admin_connections": "admin.connections_max = 256 does not fit into the {files} descriptors of control",
    "limits.admin_does_not_fit": "admin.connections_max = 256 does not fit into the ",
    "limits.admin_takes": ": the admin port takes 20 connections. Raise the hard limit",
    "limits.connections_lowered": "limits.connections_max and limits.requests_max may take 1500 descriptors of a worker, and it has 1499 for them: it takes 999 connections at most. Raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of docker) or lower limits.connections_max",
    "limits.router_needs": "a process may have {files} descriptors, and a router with 2 workers needs 52 at least",
    "limits.too_few_for_workers": "a process may have {files} descriptors, and a router with {workers} needs {least} at least. Raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of docker) or set fewer workers",
    "limits.worker_needs": "may take 14096 descriptors of a worker",
    # Listening sockets
    "listen.in_use": "listen 127.0.0.1:{port} is in use: stop what listens there (`ss -ltnp 'sport = :{port}'` names it) or choose another: --listen HOST:PORT",
    "listen.no_folder": "admin_listen unix:{folder}/no/admin.sock: No such file or directory: make the folder, or its permissions, so that this user can bind there; or choose another: --admin unix:/PATH",
    "listen.no_socket": "listen unix:{folder}/data.sock: a file that is no socket is there; remove it, or choose another: --listen unix:/PATH",
    "listen.unix_in_use": "listen unix:{folder}/data.sock is in use: stop what listens there (`ss -lxp src {folder}/data.sock` names it) or choose another: --listen unix:/PATH",
    # Listener
    "listener.closing": "connections that come while the port closes may be reset",
    # MLflow
    "mlflow.downgrade": "it redirects from https to http",
    "mlflow.page": "this answer of mlflow:5000 is not MLflow's: 200 (text/html; charset=utf-8): Sign in Corp\\u001b[2J SSO;",
    "mlflow.proxy_away": "no connection to the proxy",
    "mlflow.timeout_by_proxy": "no answer within 0.1 s, by the proxy {proxy}",
    "mlflow.down": "MLflow cannot be used now: down; 1 waiting, first models:/fraud/2; next try in 1 s",
    # Notifications
    "notification.alert": "fraud: quality alert Drift about v8",
    "notification.denied": "fraud: proposal fraud-rollback-1 was denied by ann",
    "notification.drill_times": "2.0 ms, 3.0 ms to the last worker",
    "notification.incident_complete": "fraud: the record of incident fraud-1-3 is complete",
    "notification.nothing_better": "fraud: v8 fails and no better version exists",
    "notification.observed": "12.00% against a limit of 5.00%, normal is 0.40%",
    "notification.promoted": "fraud: promoted v8 (was v7) by ann",
    "notification.proposed": "{service}: roll back from {version} to {to}?",
    "notification.rolled_back": "fraud: rolled back automatically from fraud-v8 to fraud-v7",
    "notification.time_taken": "decided 13.0 s after the first fault; swap 85 µs; every worker followed within 3.25 ms",
    # Channels
    "notify.answered": "the receiver answered {status} not now",
    "notify.redirected": "the receiver answered {status} not now: redirects are not followed; set the URL to the address that it leads to",
    "notify.answered_404": "the receiver answered 404 not now",
    "notify.apprise_failed": "apprise could not deliver it",
    "notify.apprise_unknown_url": "apprise does not support this kind of URL",
    "notify.bad_url": "its URL cannot be requested",
    "notify.given_up_log": "notification {id} to ops given up: 500",
    "notify.proxy_away": "no connection: Connection refused, by the proxy 127.0.0.1:1 (proxy)",
    "notify.timeout_by_proxy": "no answer within 0.01 s, by the proxy p:1 (test)",
    "notify.lost": "fraud: rolled back <!channel> & more (id {id}) given up: 500",
    "notify.one_fails": "channel fails: the receiver answered 500 not now",
    "notify.plain_text": (
        "From: v8 (quarantined)\n"
        "Time taken: swap 0.1 ms\n"
        "Details: https://router.example.com/v1/incidents/fraud-1-7\n"
        "Id: fraud-rolled_back-7"
    ),
    "notify.test_message": "rollback-router: a test message, requested by ann",
    # Overload
    "overload.version": "limits reached in the last 10 s: in_flight_max 7 times; fraud v8 holds 9 streams (of these b 6, a 3)",
    "overload.worker": "limits reached in the last 10 s: requests_max 180 times, descriptors 1 time; the rest is refused early (503)",
    # Probes
    "probe.not_watched": "v3 of fraud is not watched",
    "probe.some_good": "1 of 2 endpoints good; {url}: status 500, expected below 500",
    "probe.unanswered": "{url}: the probe before this one was not answered within 0.05 s",
    # Proposals
    "proposal.approved_already": "was approved by Ann Lee (link) already",
    "proposal.approved_by_link": "was approved by Ann (link) already",
    "proposal.bad_link": "this link is not valid",
    "proposal.own_token": "with a token, not with a link",
    "proposal.waits": "waits for approval: proposal {proposal}",
    "proposal.would_deny": "would be done: {proposal} is denied, v1 stays active",
    "proposal.would_wait": "would wait for approval: proposal {proposal}",
    # PROXY headers
    "proxy_protocol.no_header": "a connection from 127.0.0.1 was closed (1 so far in this worker): it does not begin with a PROXY header",
    # Reload
    "reload.bad_setting": "settings not reloaded, nothing changed: {settings}:1:1: wrokers = 2: there is no such setting: did you mean workers?",
    "reload.refused": "settings not reloaded, nothing changed",
    # Retention
    "retention.draining": "still serves what it has begun",
    "retention.may_come_back": "unreachable since it was rolled back; it may come back",
    "retention.quarantined_by_hand": "quarantined by ann without an incident",
    "retention.recently_accepted": "one of the last 2 accepted versions",
    "retention.unknown_cause": "quarantined, and the root cause of incident {incident} is not known",
    # The router itself
    "router.unwell": "the router itself failed {faults} of {of} exchanges in 60 s",
    # Settings
    "settings.alerts_secret_missing": "warning: alerts.hmac_secret_file {folder}/none: No such file or directory",
    "settings.differ": "services.svc.{role} is {settings} in the settings and {journal} by the journal, which wins: use promote, switch or deploy",
    "settings.every_mistake": "1:1: wrokers = 2: there is no such setting: did you mean workers?\n2:1: workers = 0: must be at least 1\n3:1: admin_listen: 0.0.0.0:8081 can be reached from outside: set admin.tokens, or listen on 127.0.0.1\n4:1: proxy_protocol: it is required, and proxy_protocol_from is empty: name the balancers' networks, for example [\"10.0.0.0/8\"]\n6:1: services.b.replay = 'perhaps': must be 'never', 'unsent', 'idempotent' or 'always'\n8:1: services.b.active.endpoints: is missing, and has no default\n9:11: services.b.probe.path = 'health': 'health' is not a path: write it as /health (or probe = \"none\")\n9:28: services.b.probe.method = 'PUT': must be 'GET', 'HEAD' or 'POST'\n9:44: services.b.probe.every_s = '5': must be a number: write 5 without quotes\n11:1: services.b.rules.latency.slo_ms = '250': must be a number: write 250 without quotes\n12:11: services.c: services 'b' and 'c' both answer host 'x', prefix '/'\n15:1: services.c.standby: active and standby are both version 'v2': the standby must be another version\n16:1: services.c.first_byte_timeout_s = -1: must be more than 0\n20:1: notify.0.timeout_s = 0: must be more than 0\n22:3: notify.1: the channel 'a' is there twice\n27:1: limits.body_bytes_max = '1 MB': must be a whole number\n28:1: limits.fields_max = 3.0: must be a whole number: write 3\n30:1: alerts.map.0.service: 'd': there is no such service; there are: b, c",
    "settings.is_there": "rollback-router: {file} is there already: name another file",
    "settings.meant_workers": "wrokers = 2: there is no such setting: did you mean workers?",
    "settings.mlflow_secret_missing": "warning: mlflow.secret_file {folder}/none: No such file or directory",
    "settings.no_file": "settings file {folder}/none.toml does not exist or is not a file",
    "settings.no_path": "services.a.probe.path = 'health': 'health' is not a path: write it as /health (or probe = \"none\")",
    "settings.no_toml": "{file}:2:10: Invalid value",
    "settings.notify_secret_missing": "warning: notify b: {folder}/none: No such file or directory",
    "settings.two_errors": "{file}:1:1: workers = 0: must be at least 1; {file}:2:1: wrokers = 2: there is no such setting: did you mean workers?",
    "settings.unknown_variable": "environment variable ROLLBACK_ROUTER_WROKERS: there is no such setting: did you mean ROLLBACK_ROUTER_WORKERS?",
    "settings.workers_of_file": "{file}:1:1: workers = 0: must be at least 1",
    # Standby
    "standby.unreachable": "v1 is unreachable since it was rolled back",
    # State directory
    "state.foreign": "state directory {foreign}: foreign belongs to uid 4242, and this router runs as root (uid 0): run it as that user, or hand it over (chown -R 0 {foreign}); or choose another: --state-dir DIR",
    "state.foreign_link": "link is a symbolic link, which belongs to uid 4242",
    "state.in_use": "state directory {folder} is in use by the router with pid {pid}: stop that one first, or give this one its own: --state-dir DIR",
    "state.in_use_by_other": "state directory {folder}/state is in use by the router with pid {owner}: stop that one first, or give this one its own: --state-dir DIR",
    "state.linked_directory": "incidents is a symbolic link where a directory of this router belongs",
    "state.no_directory": "state directory {folder}/file/state: {folder}/file/state is no directory, or a link to nothing; remove it or choose another: --state-dir DIR",
    "state.open_directory": "state directory {folder}/state: state can be written by others (mode 775): chmod 700 {folder}/private; or choose another: --state-dir DIR",
    "state.open_parent": "{folder}/open can be written by every user (mode 777)",
    "state.shared": "is shared by users (mode 1777): name a directory of its own",
    # Status
    "status.too_few_requests": "Too few requests for a verdict on v1; a rollback to v2 is possible.",
    "status.nothing_useful": "v1 has had no useful answer for {since} s: 0 of 24 requests were useful since it was deployed, 24 wait; a rollback to v2 is possible.",
    "status.well": "v1 works; a rollback to v2 is possible.",
    # Stores
    "store.no_answer": "the disk has not answered for 5 s",
    # Supervisor
    "supervisor.control_died": "control ended before it was ready: killed by SIGKILL",
    "supervisor.needs_restart": "these settings change only with a restart: workers",
    "supervisor.stopping": "is not ready any more",
    "supervisor.worker_died": "worker 0 died: killed by SIGKILL; 1 exchanges cut; restart in 0.1 s",
    # Switches
    "switch.dry_run": "would be done: v2 is active",
    "switch.rolled_back": "rolled back from {version} to {to}; {version} is quarantined",
    # Take-over
    "takeover.another": "another take-over is under way",
    "takeover.connections_stay": "connections of the old router are not taken over: No such file or directory",
    "takeover.failed": "the old router was not taken over and goes on: {why}",
    "takeover.nothing_there": "no router can be taken over at {folder} (No such file or directory): leave --take-over out, or name its --state-dir",
    "takeover.stuck": "it did not go on within 30 s",
    # Timeline of an incident
    "timeline.acknowledged": "worker {worker} adopted the new route",
    "timeline.confirmed": "every worker is on the new route, the last one 1.5 ms after the store",
    "timeline.deployed": "{version} was deployed as candidate",
    "timeline.drained": "fraud-v8 has ended its last request (0.7 s)",
    "timeline.failing_since": "the trigger failed from here on without a pass",
    "timeline.first_fault": "the first fault of the evidence",
    "timeline.promoted": "fraud-v8 became active, fraud-v7 was active before: October",
    "timeline.recovered": "the last fault of the failing version had ended, and every worker had the new route",
    "timeline.rolled_back": "decided: rollback from fraud-v8 to fraud-v7; fraud-v8 is quarantined: 300 of 1000 failed",
    "timeline.second_look": "decided: rollback from v4 to v1; v4 is quarantined: a second look",
    "timeline.stored": "the new route was stored: one 64-bit word",
    # TLS
    "tls.old_files_stay": "the old ones stay in use",
    "tls.unreadable": "Permission denied; give the user of the router the right to read it",
    "tls.unverified": "services.a.backend_tls.verify is false: every certificate is accepted",
    "tls.wrong_name": "does not hold the name c.test, only a.test",
    # Validators
    "validator.not_finite": "a number that is not finite at /score",
    "validator.not_json": "service=default version=v1: an invalid response: the body is not JSON: unexpected end of data",
    "validator.unusable_schema": "service=default goes on without validators: is no usable JSON Schema",
    # Sessions of browsers
    "sessions.not_kept": "sessions end with the next start of control",
    # Verdicts
    # Dashboard, and headlines (tests/control/views/headline_texts.py)
    "dashboard.no_standby": "No rollback now: nothing to roll back to: there is no standby.",
    "dashboard.role_missing": "No rollback now: needs the role operator.",
    "headline.line_of_probation": "Serving v1, on probation",
    # Lines of entries, and versions
    "entry.boot": "the router was started (boot 1)",
    "entry.frozen": "automation was frozen: {reason}",
    "version.not_ready": "not ready after 900 s: http://v3:1: bad",
}
