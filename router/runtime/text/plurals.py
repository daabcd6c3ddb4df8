"""A number with its noun: "1 request", "2 requests". Every text with a count of things is made here."""

from __future__ import annotations

from typing import Final

_IRREGULAR: Final = {
    "entry": "entries",
    "is": "are",
    "was": "were",
    "has": "have",
    "waits": "wait",
    "fails": "fail",
    "passes": "pass",
    "proves": "prove",
}


def counted(number: float, noun: str, form: str = "") -> str:
    """Return `number` with `noun` (singular; its last word takes the plural). `form` is the format of the number, e.g. ".1f".

    A number that is shown as 1 has the singular, every other one the plural: 0 cases, 1 case, 1.5 cases.
    """
    shown = format(number, form)
    return f"{shown} {plural(noun, shown)}"


def plural(word: str, number: object) -> str:
    """Return `word` as it stands behind `number`. Verbs, too: `is` becomes `are`."""
    if str(number) == "1":
        return word
    *before, last = word.split(" ")
    made = _IRREGULAR.get(last) or (f"{last}es" if last.endswith(("s", "x", "ch")) else f"{last}s")
    return " ".join((*before, made))
