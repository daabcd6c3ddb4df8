"""`completion`: prints the script with which a shell completes commands, options, versions and services."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Final, Literal

import typer

from router.cli import output

app = typer.Typer()

PATHS: Final = 3
"""Exit code of the hidden command `complete` if the shell should propose paths."""
_BASH: Final = """\
_rollback_router() {
    local found
    COMPREPLY=()
    found=$("$1" complete bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null </dev/null)
    if [ $? -eq 3 ]; then compopt -o default; fi
    if [ -n "$found" ]; then mapfile -t COMPREPLY <<<"$found"; fi
}
complete -F _rollback_router rollback-router
"""
_ZSH: Final = """\
#compdef rollback-router
_rollback_router() {
    local found
    found=$("${words[1]}" complete zsh "${(j: :)words[1,CURRENT]}" 2>/dev/null </dev/null)
    if [ $? -eq 3 ]; then _files; fi
    if [ -n "$found" ]; then compadd -- "${(@f)found}"; fi
}
compdef _rollback_router rollback-router
"""
_FISH: Final = """\
complete -c rollback-router -f -a '(rollback-router complete fish (commandline -cp) 2>/dev/null </dev/null)'
complete -c rollback-router -l config -r -F
complete -c rollback-router -l token-file -r -F
"""
SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
Shell = Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="bash|zsh|fish", help="The shell.")]


@app.command()
def completion(shell: Shell) -> None:
    """Print the script of a shell that completes words.

    rollback-router completion bash

    For bash: eval "$(rollback-router completion bash)" in ~/.bashrc. Zsh: the same in ~/.zshrc, behind compinit. Fish:
    rollback-router completion fish | source. Versions, services and ids are those of the running router.
    """
    output.write(SCRIPTS[shell])


@app.command(hidden=True)
def complete(
    context: typer.Context,
    shell: Shell,
    line: Annotated[str, typer.Argument(metavar="LINE", help="The command line up to the cursor.")],
    breaks: Annotated[
        str, typer.Argument(metavar="[CHARACTERS]", help="The characters at which bash ends a word.")
    ] = "",
) -> None:
    """Print the candidates for the last word of a command line."""
    from router.cli.candidates import candidates, split

    words, typed = split(line)
    root: Any = context.find_root().command
    found, paths = candidates(root, words, typed)
    for name in found:
        output.write(_for_shell(shell, name, typed, breaks) + "\n")
    if paths:
        raise typer.Exit(PATHS)


def _for_shell(shell: str, name: str, typed: str, breaks: str) -> str:
    """Return a candidate as its shell inserts it. Bash replaces only what stands behind the last character of `breaks`."""
    if shell != "bash":
        return name
    kept = max((typed.rfind(char) for char in breaks if not char.isspace() and char not in "'\""), default=-1) + 1
    return shlex.quote(name[kept:]) if name[kept:] else ""
