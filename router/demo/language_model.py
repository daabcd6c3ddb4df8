"""The demo's language model: a Markov chain over words, learned from one short text. Small, but really evaluated.

`v1` uses one preceding word, `v2` two, so their answers differ. The same prompt always gets the same answer.
"""

from __future__ import annotations

import random
import zlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

_ORDER: Final = {"v1": 1, "v2": 2}
_TEXT: Final = """
A new model goes live in the morning and the old model waits behind it . The router counts every answer that the new
model gives . When the new model fails the router goes back to the old model at once . The old model is still warm and
it answers the next request . A client that waits for an answer does not know which model it came from . A request that
was never sent can be sent again to the old model . A stream that has begun stays with the model that began it . The
router writes down why it went back and how long it took . A person reads the reason and mends the new model . The
mended model goes live in the evening and the router counts every answer again . A model that is slow can be as bad as a
model that fails . A single error after a quiet hour is not a reason to go back . The router needs enough answers before
it is sure . When it is sure it does not wait for a person .
"""


class LanguageModel:
    """Continues a prompt, word by word."""

    def __init__(self, version: str) -> None:
        self._order = _ORDER[version]
        words = _TEXT.split()
        words += words[: self._order]
        self._next: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for index in range(len(words) - self._order):
            self._next[tuple(words[index : index + self._order])].append(words[index + self._order])
        self._starts = [state for state in self._next if state[0][0].isupper()]

    def tokens(self, prompt: str, tokens_max: int) -> Iterator[str]:
        """Yield `tokens_max` words, each but the first with a leading space, like a tokenizer."""
        draw = random.Random(zlib.crc32(prompt.encode()))
        state = draw.choice(self._starts)
        queue = list(state)
        for index in range(tokens_max):
            while len(queue) <= index:
                word = draw.choice(self._next[state])
                state = (*state[1:], word)
                queue.append(word)
            yield queue[index] if index == 0 else f" {queue[index]}"
