"""`python -m benchmarks cost | commits | swap | failover | …`: see README.md."""

from __future__ import annotations

import argparse
import sys

from benchmarks import cases, commits, cost, failover, memory, micro, stale, start, swap, takeover
from benchmarks.judge import run as judge
from benchmarks.peers import run as peers
from benchmarks.program import BenchmarkError
from benchmarks.soak import run as soak


def main() -> int:
    """Run one benchmark; exit 1 with the reason when its figures cannot be had or trusted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a trial: fewer and shorter, its results are not kept")
    names = parser.add_subparsers(dest="name", required=True)
    one = names.add_parser("cost", help="CPU per request ÷ nginx and ÷ HAProxy")
    one.add_argument("--rounds", type=int, help="interleaved rounds (9; quick: 3)")
    one = names.add_parser("commits", help="CPU per request of one commit ÷ another, both compiled")
    one.add_argument("before", help="a revision, for example main~10")
    one.add_argument("after", nargs="?", default="HEAD", help="a revision (HEAD)")
    one.add_argument("--heads", choices=["repeating", "fresh"], help="one kind only (both)")
    one = names.add_parser("swap", help="swap_us and confirmed_ms over 1,000 switches under load")
    one.add_argument("--before", metavar="REVISION", help="in turns with this revision instead: p50 and max, HEAD ÷ it")
    one = names.add_parser(
        "start", help="a start with 10,000 journal entries, and memory at rest, of one commit ÷ another"
    )
    one.add_argument("before", help="a revision, for example main~10")
    one.add_argument("after", nargs="?", default="HEAD", help="a revision (HEAD)")
    one.add_argument("--pairs", type=int, help="starts of each (11; quick: 2)")
    one.add_argument("--entries", type=int, help="entries of the journal (10000; 0: none)")
    one = names.add_parser("failover", help="fault to healthy for crash, errors and hang")
    one.add_argument("--runs", type=int, help="runs of each fault (20; quick: 2)")
    one.add_argument("--replay", default="unsent", choices=["never", "unsent", "idempotent", "always"])
    one.add_argument("--cases", action="store_true", help="model servers as public reports describe them, instead")
    one.add_argument(
        "--rate", type=float, default=cases.RATES[0], choices=cases.RATES, help="requests/s of --cases (200)"
    )
    one.add_argument("--case", default="", metavar="TEXT", help="cases whose name holds this text (all)")
    one.add_argument("--only", choices=[fault.name for faults in failover.LINES.values() for fault in faults])
    names.add_parser("memory", help="RSS at rest and per 1,000 idle connections")
    names.add_parser("stale", help="kept connections that the backend closes just as they are reused")
    one = names.add_parser("takeover", help="take-overs beside a load of 5, with clients that never retry")
    one.add_argument("--take-overs", type=int, metavar="N", help="how many (50; quick: 3)")
    one.add_argument("--hogs", type=int, default=takeover.HOGS, help="processes that use all CPU that they get (5)")
    one.add_argument("--tls", action="store_true", help="the clients speak TLS")
    one.add_argument("--before", metavar="REVISION", help="take over from and by this revision, in turn with this one")
    one = names.add_parser("micro", help="accounting, heads and chunks in process")
    one.add_argument("--rounds", type=int, help="rounds (15; quick: 5)")
    one = names.add_parser(
        "load", help="many connections, huge bodies, streams, a backend that hangs, endless pipelining"
    )
    one.add_argument("--parts", metavar="idle,body,streams,isolation,pipelining", help="by their names (all)")
    one.add_argument("--seconds", type=float, help="length of what is measured in each part but body (60; quick: 2)")
    one = names.add_parser("judge", help="the judge under a virtual clock: scenarios, and healthy versions for hours")
    one.add_argument("--twins", action="store_true", help="healthy versions, with independent faults")
    one.add_argument("--hours", type=float, help="simulated hours of each twin (10; quick: 0.1)")
    one.add_argument("--scenario", default="", metavar="TEXT", help="those whose name holds this text (all)")
    one = names.add_parser(
        "peers", help="the router beside nginx, HAProxy, Envoy, Traefik, Caddy, model gateways, aiohttp"
    )
    one.add_argument(
        "--rounds",
        type=int,
        help="interleaved rounds of everything (9 of works with a close bar for nginx, HAProxy and us, else 3; quick: 2)",
    )
    one.add_argument("--seconds", type=int, help="length of a slice of a closed loop (2; quick: 1)")
    one.add_argument("--work", metavar="a,b,…", help="works, by their letters (all; quick: a,b,f)")
    one.add_argument("--peers", metavar="nginx,…", help="peers, by their names (all; quick: nginx,haproxy)")
    one.add_argument("--before", metavar="REVISION", help="the router of this revision takes part, too")
    for parsed in names.choices.values():
        parsed.add_argument("--quick", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    try:
        if chosen.name == "cost":
            cost.run(chosen.quick, chosen.rounds)
        elif chosen.name == "commits":
            commits.run(chosen.before, chosen.after, chosen.heads, chosen.quick)
        elif chosen.name == "swap":
            swap.run(chosen.quick, chosen.before)
        elif chosen.name == "start":
            start.run(chosen.before, chosen.after, chosen.pairs, chosen.entries, chosen.quick)
        elif chosen.name == "failover" and chosen.cases:
            cases.run(chosen.quick, chosen.runs, chosen.rate, chosen.case)
        elif chosen.name == "failover":
            failover.run(chosen.quick, chosen.runs, chosen.replay, chosen.only)
        elif chosen.name == "load":
            soak.run(chosen.quick, chosen.parts, chosen.seconds)
        elif chosen.name == "takeover":
            takeover.run(chosen.quick, chosen.take_overs, chosen.hogs, chosen.tls, chosen.before)
        elif chosen.name == "judge":
            judge.run(chosen.quick, chosen.twins, chosen.hours, chosen.scenario)
        elif chosen.name == "stale":
            stale.run(chosen.quick)
        elif chosen.name == "peers":
            peers.run(chosen.quick, chosen.rounds, chosen.work, chosen.peers, chosen.before, chosen.seconds)
        elif chosen.name == "micro":
            micro.run(chosen.quick, chosen.rounds)
        else:
            memory.run(chosen.quick)
    except BenchmarkError as error:
        print(f"benchmarks {chosen.name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
