"""The child process that redacts captured requests: a job on stdin, plain data on stdout.

Patterns and JSON of clients take CPU time that control does not have. In a process a search can be ended (search_limit.py),
and so can the process. It runs with nice 10, and ends itself after CPU_S_MAX. What it does not return is hidden as a whole.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from router.control.cases.failed_request import failed_request
from router.control.cases.search_limit import SearchLimit
from router.rollout.cases.redaction import HIDDEN, redaction
from router.runtime import clock, interpreter

CPU_S_MAX: Final = 40
"""A process that needs more is ended by the system."""
JOB_S: Final = 25.0
"""CPU time after which the requests that are left are hidden as a whole."""
TIMEOUT_S: Final = 90.0
"""Time after which control ends the process: more than CPU_S_MAX, because the machine may be busy."""
NICE: Final = 10


@dataclass(frozen=True, slots=True)
class RedactionJob:
    """The rules as in `[services.NAME.cases]`, and the records of captured requests."""

    paths: Sequence[str]
    patterns: Sequence[str]
    query: Sequence[str]
    payloads: Sequence[bytes]

    def encode(self) -> bytes:
        """Return the job as `decode` reads it."""
        head = [list(self.paths), list(self.patterns), list(self.query), [len(payload) for payload in self.payloads]]
        return b"%b\n%b" % (orjson.dumps(head), b"".join(self.payloads))


@dataclass(frozen=True, slots=True)
class RedactionResult:
    """`requests`: one for each record, in their order. `slow`: patterns whose searches were ended; `why`: the reason why requests
    are hidden that is not a slow pattern, else empty.
    """

    requests: list[dict[str, Any]]
    slow: list[str]
    why: str


def decode(document: bytes) -> RedactionJob:
    """Return the job that `encode` wrote."""
    line, _, data = document.partition(b"\n")
    paths, patterns, query, sizes = orjson.loads(line)
    payloads, position = [], 0
    for size in sizes:
        payloads.append(data[position : position + size])
        position += size
    return RedactionJob(paths, patterns, query, payloads)


def redact(job: RedactionJob, limit: SearchLimit) -> RedactionResult:
    """Return the redacted requests of a job. To be called in the main thread."""
    rules = replace(redaction(job.paths, job.patterns, job.query), substitute=limit.substitute)
    begun_s, requests, overdue = clock.cpu_s(), [], False
    for payload in job.payloads:
        overdue = overdue or clock.cpu_s() - begun_s > JOB_S
        requests.append(failed_request(payload, HIDDEN if overdue else rules))
    why = "all searches together took too long" if overdue or limit.spent else ""
    return RedactionResult(requests, limit.slow, why)


def hidden(payloads: Sequence[bytes], why: str) -> RedactionResult:
    """Return the result if the process has none: nothing of the texts and bodies is kept."""
    return RedactionResult([failed_request(payload, HIDDEN) for payload in payloads], [], why)


def run(job: RedactionJob, timeout_s: float = TIMEOUT_S) -> RedactionResult:
    """Let a child process redact. This blocks; call it in a thread."""
    try:
        process = interpreter.run("router.control.cases.redaction_process", job.encode(), timeout_s)
    except subprocess.TimeoutExpired:
        return hidden(job.payloads, f"the process that redacts did not end within {timeout_s:g} s")
    except OSError as error:
        return hidden(job.payloads, f"the process that redacts cannot be started: {error.strerror}")
    if process.returncode == -signal.SIGXCPU:
        return hidden(job.payloads, f"the process that redacts used more than {CPU_S_MAX} s of CPU time")
    if process.returncode:
        return hidden(job.payloads, f"the process that redacts ended with {process.returncode}")
    return RedactionResult(*orjson.loads(process.stdout))


def main() -> int:
    """Read a job, write the result; return an exit code."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX + 1))
    os.nice(NICE)
    result = redact(decode(sys.stdin.buffer.read()), SearchLimit())
    sys.stdout.buffer.write(orjson.dumps([result.requests, result.slow, result.why]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
