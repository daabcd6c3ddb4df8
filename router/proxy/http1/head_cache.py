"""A cache of translated heads: by their exact bytes, and by templates for heads that differ in a few values.

A head that passed the slow path may be repeated: clients mostly repeat theirs on a kept-alive connection, and backends do so
within a second. It then costs one look-up. A head that differs in a few values may match a template. Heads behind a load
balancer come from many clients over one connection, so templates are found by the start line, not by the connection.

    cached by its bytes ─no─► matches a template of its start line ─no─► slow path ─► cached, and learned from

If a template translated the last head, it is asked before the look-up by bytes. A head that is repeated between fresh ones thus
costs a match (0.8 µs) instead of a look-up (0.2 µs).

A template is learned from two heads with equal start lines, equal names in equal order, and different values in fields that may
differ. A further difference adds a variable field. Templates only ever widen, and each is checked against the slow path.

The cache is bounded in entries and bytes, and cleared when the settings change. Both tables have two generations. An entry that
is used moves to the young generation, so heads that never come again replace only each other. Learning has a budget, renewed
every 100 ms: compiling a template takes about 2 ms, and a client must not cause that with every two requests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router.proxy.http1.head_template import HeadTemplate, compile_template, may_differ, names_of
from router.proxy.http1.request_head import RequestHead
from router.proxy.http1.response_head import ResponseHead

Head = RequestHead | ResponseHead

HEAD_BYTES_MAX: Final = 4096
"""The longest head that is cached or learned from."""
_HEAD_BYTES_MAX: Final = HEAD_BYTES_MAX
HEADS_MAX: Final = 512
"""Heads in a generation: at most 4 MiB a cache."""
SHAPES_MAX: Final = 128
"""Shapes in a generation, each with a sample and perhaps a template of five times its size: at most 6 MiB a cache."""
SHAPES_PER_LINE_MAX: Final = 16
BUDGET: Final = 16
"""The learning permitted between two sweeps: so many samples are compared, or one template is compiled."""


class HeadCache:
    """Translated heads of requests, or of responses. `parse` is the slow path; its exceptions are passed on.

    The class is not generic, because a compiled class inherits from nothing; the caller states the type of the result.
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
        self._template: HeadTemplate | None = None  # of the latest head, if a template translated it

    def clear(self) -> None:
        """Drop everything: the settings have changed."""
        self._heads, self._older_heads, self._shapes, self._older_shapes = {}, {}, {}, {}
        self._shapes_number = 0
        self._latest = b""
        self._template = None

    def refill(self) -> None:
        """Renew the learning budget; called at every sweep."""
        self._budget = BUDGET

    def translate(self, raw: bytes) -> Any:
        """Return the translation of a complete head; raise the exceptions of the slow path."""
        if len(raw) > _HEAD_BYTES_MAX:  # never cached, and trying up to 16 templates on it would cost too much
            return self._parse(raw)
        template = self._template
        if template is not None:  # asked before the table: hashing a head that never comes again brings nothing
            head = template.translate(raw)
            if head is not None:
                return self._came_by_template(raw, head, template)
            self._template = None
        head = self._heads.get(raw)
        if head is not None:
            return head
        shapes = self._shapes.get(raw[: raw.find(b"\r\n")])
        if shapes is not None:
            for place, shape in enumerate(shapes):
                template = shape.template
                if template is None:
                    continue
                head = template.translate(raw)
                if head is None:
                    continue
                if place:  # move a used shape forward
                    shapes[place - 1], shapes[place] = shape, shapes[place - 1]
                return self._came_by_template(raw, head, template)
        return self._translate_slow(raw)

    def _came_by_template(self, raw: bytes, head: Head, template: HeadTemplate) -> Head:
        """Remember a head that is repeated, and otherwise the template for the next head."""
        if raw == self._latest:
            self._remember(raw, head)
            self._template = None
        else:
            self._latest = raw
            self._template = template
        return head

    def _translate_slow(self, raw: bytes) -> Any:
        head = self._older_heads.pop(raw, None)
        if head is None:
            line = raw[: raw.find(b"\r\n")]
            if line in self._older_shapes:
                self._promote(line)
                return self.translate(raw)
            head = self._parse(raw)
            if head.upgrade or (isinstance(head, RequestHead) and head.lookalikes):  # each one is counted
                return head
            self._learn(line, raw)
        self._remember(raw, head)
        return head

    def _remember(self, raw: bytes, head: Head) -> None:
        if len(self._heads) >= HEADS_MAX:
            self._heads, self._older_heads = {}, self._heads
        self._heads[raw] = head

    # -- shapes of heads
    def _promote(self, line: bytes) -> None:
        """Move the shapes of a start line to the young generation, because they are used."""
        shapes = self._older_shapes.pop(line)
        self._make_room(len(shapes))
        self._shapes[line] = shapes

    def _make_room(self, number: int) -> None:
        if self._shapes_number + number > SHAPES_MAX:
            self._shapes, self._older_shapes = {}, self._shapes
            self._shapes_number = 0
        self._shapes_number += number

    def _learn(self, line: bytes, raw: bytes) -> None:
        """Compare a head without a matching template with the shapes of its start line, as long as the budget lasts."""
        if self._budget <= 0:
            return
        lines = raw[:-4].split(b"\r\n")[1:]
        shapes, response = self._shapes.get(line, []), line.startswith(b"HTTP/")
        for shape in shapes:
            self._budget -= 1
            if (variables := shape.widened(lines)) is not None:
                self._budget -= BUDGET
                shape.learn(raw, variables, self._parse)
                return
        self._budget -= 1
        if len(shapes) >= SHAPES_PER_LINE_MAX:
            shapes[-1] = _HeadShape(lines, response=response)
            return
        self._make_room(1)
        self._shapes.setdefault(line, []).append(_HeadShape(lines, response=response))


class _HeadShape:
    """Similar heads with one start line: a sample, the fields that differ, and a template once a second head was seen."""

    __slots__ = ("_names", "_response", "_sample", "_variables", "template")

    def __init__(self, sample: list[bytes], *, response: bool) -> None:
        self._response = response
        self._sample = sample
        self._names = names_of(sample)
        self._variables: frozenset[int] = frozenset()
        self.template: HeadTemplate | None = None

    def widened(self, lines: list[bytes]) -> frozenset[int] | None:
        """Return the lines that differ among the heads of this shape and this head; None if it has another shape."""
        if len(lines) != len(self._sample):
            return None
        differing = [number for number, line in enumerate(lines) if line != self._sample[number]]
        for number in differing:
            name = lines[number].partition(b":")[0]
            if not self._sample[number].startswith(name + b":") or not may_differ(
                self._names[number], response=self._response
            ):
                return None
        return self._variables.union(differing)

    def learn(self, raw: bytes, variables: frozenset[int], parse: Callable[[bytes], Head]) -> None:
        """Compile the template. For this head it must give the result of the slow path, or no match.

        No match means that a value is outside the template's grammar. Such a head takes the slow path each time, and must not
        cause the same template to be compiled again each time.
        """
        if self.template is not None and variables == self._variables:
            return
        template = compile_template(raw, variables, parse)
        if template is not None and template.translate(raw) in (None, parse(raw)):
            self.template = template
            self._variables = variables
