"""Runs the commands of one page, top to bottom, and compares the outputs: `python -m tests.documents.run PAGE [PROGRAMS]`.

- A `console` block has commands (`$ …`) and their outputs. `…` in an output is any text, and alone on a line any lines. A
  command without an output may print anything. A command has to exit with 0, or as a comment at its end says: `# exit 9`.
- A command that ends with `&` goes on. After a `rollback-router run … &` the next command waits until the router is ready.
- A command with the comment `# Ctrl-C ends it` gets SIGINT after a second.
- A block of another language whose first line is `# NAME.toml` (yaml, json, py) is written to that file.
- Model servers of the tests stand in for real ones. With PROGRAMS, a folder of programs, there are none of them: the `sh` blocks
  are run as well, with these programs; but for `pip`, which needs a network and has run before. After a line that ends with `&`
  the next command waits until its model servers are ready.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.documents.pages import Block, Command, blocks, commands
from tests.documents.world import READY_WITHIN_S, World, environment, loopback_up, models_ready, namespace, ready
from tests.waiting import until

COMMAND_S: Final = 60.0
END_S: Final = 20.0
"""How long the processes of a page may take to end."""
_INTERRUPT_AFTER_S: Final = 1.0
_STATUS: Final = re.compile(r"#.*\bexit (\d+)\s*$")
_STARTS_ROUTER: Final = re.compile(r"^rollback-router run\b(?!.*--take-over)", re.MULTILINE)
_INTERRUPTED: Final = "Ctrl-C"


class PageError(Exception):
    """A command of a page does not do what the page shows."""


class Shell:
    """One shell, in which a page's commands run as they would in a terminal."""

    def __init__(self, folder: Path, programs: Path | None = None) -> None:
        self._folder = folder
        self._programs = programs
        self._process: asyncio.subprocess.Process | None = None
        self._output = folder / "output"

    async def __aenter__(self) -> Shell:
        self._process = await asyncio.create_subprocess_exec(
            *("bash", "--noprofile", "--norc"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=self._folder / "page",
            env=environment(self._folder, self._programs),
            start_new_session=True,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        """End the shell and all that the page has left running; return when it is gone."""
        assert self._process is not None
        group = self._process.pid
        for number in (signal.SIGTERM, signal.SIGKILL):
            _signalled(group, number)
            try:
                await asyncio.wait_for(self._process.wait(), END_S)
                await until(lambda: not _signalled(group, 0), END_S)
                break
            except TimeoutError:
                continue

    async def run(self, text: str) -> tuple[int, str]:
        """Return the exit status and the output (both streams) of a command."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._output.write_bytes(b"")
        self._process.stdin.write(f"{{ {text}\n}} >>'{self._output}' 2>&1 </dev/null\necho $?\n".encode())
        await self._process.stdin.drain()
        status = await asyncio.wait_for(self._process.stdout.readline(), COMMAND_S)
        if not status:
            raise PageError("the command ended the shell")
        return int(status), self.printed()

    def printed(self) -> str:
        """Return what the last command has printed until now."""
        return self._output.read_text("utf-8", "replace")


def _signalled(group: int, number: int) -> bool:
    """Send a signal to a process group (0: none); return whether the group exists."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def matches(shown: str, printed: str) -> bool:
    """Return whether an output is what the page shows."""
    parts = []
    for line in shown.rstrip().splitlines():
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(r"[^\n]*?".join(re.escape(part) for part in line.rstrip().split("…")) + r" *\n")
    return re.fullmatch("".join(parts) + r"\s*", printed.rstrip() + "\n") is not None


def starts(command: Command) -> bool:
    """Return whether a command starts a router that stays; a start that is shown to be refused does not."""
    return _STARTS_ROUTER.search(command.text) is not None and _STATUS.search(command.text) is None


async def run_command(shell: Shell, command: Command) -> None:
    """Run a command of a page; raise PageError unless it does what the page shows."""
    text = command.text
    if _INTERRUPTED in text:
        text = f"timeout --preserve-status -s INT {_INTERRUPT_AFTER_S:g} {text}"
    status, printed = await shell.run(text)
    expected = _STATUS.search(command.text.splitlines()[0])
    if _INTERRUPTED not in command.text and status != (int(expected[1]) if expected else 0):
        raise PageError(f"exits with {status}:\n{printed}")
    background = re.sub(r"\s#.*$", "", command.text).rstrip().endswith("&")
    if background and starts(command) and not await ready(READY_WITHIN_S):
        raise PageError(f"the router is not ready after {READY_WITHIN_S:g} s:\n{shell.printed()}")
    if command.output.strip() and not matches(command.output, printed):
        raise PageError(f"shows:\n{command.output}\nprints:\n{printed}")


def listed_commands(block: Block, programs: Path | None) -> list[Command]:
    """Return the commands of a block that are run."""
    if block.language == "sh" and programs is not None:
        lines = [(number, line) for number, line in enumerate(block.text.splitlines(), block.line + 1) if line]
        return [Command(number, f"{{ {line} }} >servers.log 2>&1", "") for number, line in lines if line[:4] != "pip "]
    return commands(block) if block.language == "console" else []


async def run_page(name: str, text: str, programs: Path | None = None) -> int:
    """Run the commands of the page `name`, each named before it runs; return their number."""
    found = [(block, listed_commands(block, programs)) for block in blocks(text)]
    starts_router = any(starts(command) for _, listed in found for command in listed)
    number = 0
    with tempfile.TemporaryDirectory(prefix="rollback-router-page-") as made:
        folder = Path(made)
        here = folder / "page"
        here.mkdir()
        world = World(folder, with_router=not starts_router, with_models=programs is None)
        async with world, Shell(folder, programs) as shell:
            for block, listed in found:
                if block.file_name is not None:
                    (here / block.file_name).write_text(block.text, "utf-8")
                for command in listed:
                    number += 1
                    print(f"{name}:{command.line}: {command.text}", flush=True)
                    await run_command(shell, command)
                    if block.language == "sh" and "& }" in command.text:
                        await models_ready(READY_WITHIN_S)
    return number


async def interruptible(name: str, text: str, programs: Path | None) -> int:
    """Run a page; SIGTERM ends it, with all its processes."""
    running = asyncio.ensure_future(run_page(name, text, programs))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        raise PageError("ended by SIGTERM") from None


def main(argv: list[str]) -> int:
    """Run a page in a namespace; return 0 if all its commands did what the page shows."""
    if argv[1:2] != ["--inside"]:
        os.execv(namespace()[0], [*namespace(), sys.executable, "-m", "tests.documents.run", "--inside", *argv[1:]])
    loopback_up()
    try:
        programs = Path(argv[3]) if argv[3:] else None
        number = asyncio.run(interruptible(argv[2], Path(argv[2]).read_text("utf-8"), programs))
    except (PageError, TimeoutError) as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(f"{number} commands\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
