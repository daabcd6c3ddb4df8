"""What a worker remembers of heads: those that came, by their very bytes, and templates of those that will come alike.

A head that passed the careful path may come again (clients on kept-alive connections mostly repeat theirs, backends do within
a second): then it costs one look-up. Or one may come that differs in a few values: then a template takes it. Heads behind a
load balancer come from many clients over one connection, so templates are found by the start line, not by the connection.

    known by its bytes ─no─► taken by a template of its start line ─no─► careful path ─► remembered, and learned from

Learned is from two heads with equal start lines, equal names in equal order, and different values in fields that may differ;
a further difference widens the template. Nobody can make a template narrower, or wrong.

What is kept is bounded in entries and bytes, and forgotten with the settings that it was made under. Both tables have two
generations: what was used since the last turn moves to the young one, so heads that never come again push out only their
like. Learning has a budget, renewed every 100 ms: compiling a template takes about 2 ms, and nobody may buy that for the
price of two requests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router.proxy.http1.head_template import HeadTemplate, compile_template, may_differ, names_of
from router.proxy.http1.request_head import RequestHead
from router.proxy.http1.response_head import ResponseHead

Head = RequestHead | ResponseHead

HEAD_BYTES_MAX: Final = 4096
"""The longest head that is remembered or learned from."""
_HEAD_BYTES_MAX: Final = HEAD_BYTES_MAX
HEADS_MAX: Final = 512
"""Heads in a generation: at most 4 MiB of them a kind and worker."""
KINDS_MAX: Final = 128
"""Kinds in a generation, each with a sample and perhaps a template of five times its size: at most 6 MiB a kind and worker."""
KINDS_PER_LINE_MAX: Final = 16
BUDGET: Final = 16
"""What may be learned between two sweeps: so many samples compared, or one template compiled."""


class HeadCache:
    """Heads of requests, or of responses; `parse` is the careful path, which raises what the caller raises. Not generic, for
    a compiled class inherits from nothing: who makes one says what comes out.
    """

    def __init__(self, parse: Callable[[bytes], Head]) -> None:
        self._parse = parse
        self._heads: dict[bytes, Head] = {}
        self._older_heads: dict[bytes, Head] = {}
        self._shapes: dict[bytes, list[_HeadShape]] = {}
        self._older_shapes: dict[bytes, list[_HeadShape]] = {}
        self._shapes_number = 0
        self._budget = BUDGET
        self._latest = b""

    def forget(self) -> None:
        """The settings have changed."""
        self._heads, self._older_heads, self._shapes, self._older_shapes = {}, {}, {}, {}
        self._shapes_number = 0
        self._latest = b""

    def refill(self) -> None:
        """Renew the budget for learning; called at every sweep."""
        self._budget = BUDGET

    def translate(self, raw: bytes) -> Any:
        """Return the translation of a whole head; raise what the careful path raises."""
        if len(raw) > _HEAD_BYTES_MAX:  # nothing is known of one, and nobody may have 16 templates tried on all of it
            return self._parse(raw)
        head = self._heads.get(raw)
        if head is not None:
            return head
        kinds = self._shapes.get(raw[: raw.find(b"\r\n")])
        if kinds is not None:
            for place, kind in enumerate(kinds):
                template = kind.template
                if template is None:
                    continue
                head = template.translate(raw)
                if head is None:
                    continue
                if place:  # what is used comes sooner
                    kinds[place - 1], kinds[place] = kind, kinds[place - 1]
                if raw == self._latest:
                    self._remember(raw, head)
                self._latest = raw
                return head
        return self._translate_slow(raw)

    def _translate_slow(self, raw: bytes) -> Any:
        head = self._older_heads.pop(raw, None)
        if head is None:
            line = raw[: raw.find(b"\r\n")]
            if line in self._older_shapes:
                self._renew(line)
                return self.translate(raw)
            head = self._parse(raw)
            if head.upgrade:
                return head
            self._learn(line, raw)
        self._remember(raw, head)
        return head

    def _remember(self, raw: bytes, head: Head) -> None:
        if len(self._heads) >= HEADS_MAX:
            self._heads, self._older_heads = {}, self._heads
        self._heads[raw] = head

    # -- kinds
    def _renew(self, line: bytes) -> None:
        """Take the kinds of a start line over into the young generation: they are asked for."""
        kinds = self._older_shapes.pop(line)
        self._make_room(len(kinds))
        self._shapes[line] = kinds

    def _make_room(self, number: int) -> None:
        if self._shapes_number + number > KINDS_MAX:
            self._shapes, self._older_shapes = {}, self._shapes
            self._shapes_number = 0
        self._shapes_number += number

    def _learn(self, line: bytes, raw: bytes) -> None:
        """Compare a head that no template took with the kinds of its start line, as long as the budget lasts."""
        if self._budget <= 0:
            return
        lines = raw[:-4].split(b"\r\n")[1:]
        kinds = self._shapes.get(line, [])
        for kind in kinds:
            self._budget -= 1
            if (variables := kind.widened(lines)) is not None:
                self._budget -= BUDGET
                kind.learn(raw, variables, self._parse)
                return
        self._budget -= 1
        if len(kinds) >= KINDS_PER_LINE_MAX:
            kinds[-1] = _HeadShape(lines)
            return
        self._make_room(1)
        self._shapes.setdefault(line, []).append(_HeadShape(lines))


class _HeadShape:
    """One kind of heads under a start line: a sample of it, what differs, and the template once a second was seen."""

    __slots__ = ("_names", "_sample", "_variables", "template")

    def __init__(self, sample: list[bytes]) -> None:
        self._sample = sample
        self._names = names_of(sample)
        self._variables: frozenset[int] = frozenset()
        self.template: HeadTemplate | None = None

    def widened(self, lines: list[bytes]) -> frozenset[int] | None:
        """Return what differs among the heads of this kind and this one; None if it is of another kind."""
        if len(lines) != len(self._sample):
            return None
        differing = [number for number, line in enumerate(lines) if line != self._sample[number]]
        for number in differing:
            name = lines[number].partition(b":")[0]
            if not self._sample[number].startswith(name + b":") or not may_differ(self._names[number]):
                return None
        return self._variables.union(differing)

    def learn(self, raw: bytes, variables: frozenset[int], parse: Callable[[bytes], Head]) -> None:
        """Make the template; it must say of this head what the careful path said, or nothing (a value may be out of its
        grammar: that head needs the careful path each time, and must not buy the same template each time).
        """
        if self.template is not None and variables == self._variables:
            return
        template = compile_template(raw, variables, parse)
        if template is not None and template.translate(raw) in (None, parse(raw)):
            self.template = template
            self._variables = variables
