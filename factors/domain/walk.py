"""What one candle after the other changes in the slices of factors.

History is a list that mostly grows at one end and, as the window moves on, shrinks at the other:
a change of it is a few splices. Everything else is compared as a whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from factors.domain.graph import FactorSpec
from factors.domain.slices import head_at
from factors.domain.values import Event, Head, History, Payload, Slice

Splice = tuple[int, int, Sequence[Any]]
"""From which place on how many items are deleted, and the items that are put there instead."""


class SliceChange(NamedTuple):
    """How the slice of a factor differs from the one before it.

    `history` has the splices of the lists that changed, in the order in which they are to be
    applied; `head` is None when it stayed, and `before` the head before it. `is_gone`: the factor
    has nothing to show any more.
    """

    history: Mapping[str, Sequence[Splice]]
    head: Payload | None = None
    before: Payload | None = None
    is_gone: bool = False


NOTHING = Slice({}, {})


class FactorWalk:
    """The slices of one series at a candle, moved from candle to candle.

    `shown` has the slice of each factor that has something to show: what
    factors.domain.slices.slices returns for the same candle, without its envelope.
    """

    def __init__(self, specs: Iterable[FactorSpec]) -> None:
        self._specs = tuple(specs)
        self._events: deque[Event] = deque()
        self._heads: dict[str, Payload] = {}
        self._history: _CachedHistory | None = None
        self.shown: dict[str, Slice] = {}

    def begin(
        self, time: int, events: Iterable[Event], heads: Mapping[str, Payload]
    ) -> dict[str, SliceChange]:
        """Take events and heads as FactorLedger.view returns them for the first candle."""
        self._events = deque(events)
        self._heads = dict(heads)
        return self._read(time)

    def step(
        self, time: int, cutoff: int, events: Iterable[Event], heads: Iterable[Head]
    ) -> dict[str, SliceChange]:
        """Move to the candle at `time`, with the events and heads since the one before.

        Events of candles before `cutoff` leave the window. Returns the factors that changed.
        """
        before = len(self._events)
        self._events.extend(events)
        changed = len(self._events) != before
        while self._events and self._events[0].candle_time < cutoff:
            self._events.popleft()
            changed = True
        if changed:
            self._history = None
        for head in heads:
            self._heads[head.factor] = head.head
        return self._read(time)

    def _read(self, time: int) -> dict[str, SliceChange]:
        if self._history is None:
            self._history = _CachedHistory(self._events, time)
        changes: dict[str, SliceChange] = {}
        for spec in self._specs:
            seen = spec.read(self._history, head_at(spec, self._heads.get(spec.name), time))
            before = self.shown.get(spec.name)
            if seen is None:
                if before is not None:
                    del self.shown[spec.name]
                    changes[spec.name] = SliceChange({}, is_gone=True)
                continue
            change = change_between(before, seen)
            if change is not None:
                changes[spec.name] = change
            self.shown[spec.name] = seen
        return changes


class _CachedHistory(History):
    """A history that sorts each kind only once, for as long as no event comes or goes."""

    def __init__(self, events: Iterable[Event], at_time: int) -> None:
        super().__init__(events, at_time)
        self._sorted: dict[tuple[str, ...], list[Payload]] = {}

    def of(self, kind: str, *order: str) -> list[Payload]:
        """Payloads of one kind; see History."""
        key = (kind, *order)
        if key not in self._sorted:
            self._sorted[key] = super().of(kind, *order)
        return self._sorted[key]


def change_between(before: Slice | None, after: Slice) -> SliceChange | None:
    """The change that leads from one slice to the next; None when they are the same."""
    known = NOTHING if before is None else before
    splices = {
        key: found
        for key, items in after.history.items()
        if (found := splices_between(known.history.get(key, ()), items)) or key not in known.history
    }
    if before is not None and before.head == after.head:
        return SliceChange(splices) if splices else None
    return SliceChange(splices, after.head, None if before is None else before.head)


def as_row(factor: str, time: int, change: SliceChange, shown: Mapping[str, Slice]) -> Payload:
    """A change as JSON has it: `shown` are the slices after it.

    A head that only repeats the last item of a list of its history, as that of the levels does,
    names the list instead; of one whose numbers alone changed there are only those.
    """
    row: dict[str, Any] = {"factor_name": factor, "candle_time": time}
    if change.is_gone:
        return row | {"gone": True}
    if change.history:
        row["history"] = change.history
    if change.head is None:
        return row
    for key, items in shown[factor].history.items():
        if items and change.head and without_time(items[-1]) == change.head:
            return row | {"head_of": key}
    values = None if change.before is None else changed_values(change.before, change.head)
    if values is None:
        return row | {"head": change.head}
    return row | {"head_set": values}


def apply_row(row: Payload, seen: Slice | None) -> Slice | None:
    """The slice of a factor after a row of `as_row`; None when it has nothing to show."""
    if row.get("gone"):
        return None
    before = seen or NOTHING
    history = dict(before.history)
    for key, splices in row.get("history", {}).items():
        history[key] = spliced(history.get(key, ()), splices)
    head = before.head
    if "head" in row:
        head = row["head"]
    elif "head_of" in row:
        head = without_time(history[row["head_of"]][-1])
    elif "head_set" in row:
        head = with_values(head, row["head_set"])
    return Slice(history, head)


def without_time(payload: Payload) -> Payload:
    """The fields of an event that a head may repeat."""
    return {name: value for name, value in payload.items() if name != "visible_time"}


def changed_values(before: Any, after: Any) -> list[tuple[list[Any], Any]] | None:
    """The paths and new values of the plain values that differ; None if anything else does."""
    found: list[tuple[list[Any], Any]] = []

    def compare(one: Any, other: Any, path: list[Any]) -> bool:
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            names = list(one)
            return names == list(other) and all(
                compare(one[name], other[name], [*path, name]) for name in names
            )
        if isinstance(one, list) and isinstance(other, list):
            return len(one) == len(other) and all(
                compare(*pair, [*path, place])
                for place, pair in enumerate(zip(one, other, strict=True))
            )
        if isinstance(one, list | Mapping) or isinstance(other, list | Mapping):
            return False
        if one != other or type(one) is not type(other):
            found.append((path, other))
        return True

    return found if compare(before, after, []) else None


def with_values(value: Any, changes: Iterable[tuple[Sequence[Any], Any]]) -> Any:
    """A value after `changed_values`; what did not change is shared."""
    for path, new in changes:
        value = _replaced(value, path, new)
    return value


def _replaced(value: Any, path: Sequence[Any], new: Any) -> Any:
    if not path:
        return new
    place, *rest = path
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[place] = _replaced(copy[place], rest, new)
    return copy


def splices_between(before: Sequence[Any], after: Sequence[Any]) -> list[Splice]:
    """The splices that turn one list into the other: dropped at the front, added at the end.

    Where it is not as simple as that, one splice between what both begin and end with.
    """
    if before is after or before == after:
        return []
    for dropped in range(len(before) + 1):
        kept = len(before) - dropped
        if kept > len(after) or (kept and not _same(before[dropped], after[0])):
            continue
        if all(map(_same, before[dropped:], after)):
            found: list[Splice] = [(0, dropped, ())] if dropped else []
            return [*found, (kept, 0, after[kept:])] if len(after) > kept else found
        break
    start, end = 0, 0
    shorter = min(len(before), len(after))
    while start < shorter and _same(before[start], after[start]):
        start += 1
    while end < shorter - start and _same(before[-1 - end], after[-1 - end]):
        end += 1
    return [(start, len(before) - start - end, after[start : len(after) - end])]


def spliced(items: Sequence[Any], splices: Iterable[Splice]) -> list[Any]:
    """A list after splices."""
    changed = list(items)
    for start, deleted, added in splices:
        changed[start : start + deleted] = added
    return changed


def _same(one: Any, other: Any) -> bool:
    return one is other or one == other
