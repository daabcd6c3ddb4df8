"""Evaluates the stored rows of a service: rows and entries in; reports, and advice for the rules, out.

row             one row: the counts of a version over about ten seconds
period          a period as an operator writes it: `30d`, `2026-11-01`
deployment_log  deployments, rollbacks and standby periods, from the journal
service_report  uptime, DORA metrics and the cost of the standby in a period
row_windows     the windows of the judge, built from rows
backtest        a trigger with other rules, run over stored rows
advice          compares other rules with the present ones, over stored rows
"""
