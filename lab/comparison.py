"""What is stored of a series compared with the exchange's truth, candle by candle.

Every candle is stored with its true values, or is named in the gap ledger with the true reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Candles = Mapping[int, Mapping[str, Any]]

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Named:
    """A range of missing candles (open times, inclusive) and the reason it is named with."""

    from_time: int
    to_time: int
    why: str


@dataclass(slots=True)
class Findings:
    """Figures of one or more series.

    `lost` could be read and is not stored, `wrong` is stored and not true, `misnamed` is missing
    under another reason than the true one or under none; `named` counts what is named truly, by
    reason.
    """

    compared: int = 0
    lost: int = 0
    wrong: int = 0
    misnamed: int = 0
    named: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is lost, wrong or misnamed."""
        return not (self.lost or self.wrong or self.misnamed)

    def add(self, other: Findings) -> None:
        """Add another's figures to these."""
        self.compared += other.compared
        self.lost += other.lost
        self.wrong += other.wrong
        self.misnamed += other.misnamed
        for why, count in other.named.items():
            self.named[why] = self.named.get(why, 0) + count
        self.examples = (self.examples + other.examples)[:EXAMPLES]

    def note(self, text: str) -> None:
        """Keep an example of what was found."""
        if len(self.examples) < EXAMPLES:
            self.examples.append(text)


def compare(
    name: str,
    times: Iterable[int],
    *,
    truth: Candles,
    absences: Sequence[Named],
    stored: Candles,
    ledger: Sequence[Named],
) -> Findings:
    """Compare at these open times; `name` is for the examples.

    What has no trades is to be named between stored candles only: before the first one and after
    the last one nothing can show it.
    """
    findings = Findings()
    true_reasons, named = _by_time(absences, times), _by_time(ledger, times)
    first, last = min(stored, default=0), max(stored, default=-1)
    for time in times:
        findings.compared += 1
        if time in stored:
            if truth.get(time) != stored[time]:
                findings.wrong += 1
                findings.note(f"{name} {time} stored {stored[time]}, true {truth.get(time)}")
            continue
        why = true_reasons.get(time)
        if why is None:
            findings.lost += 1
            findings.note(f"{name} {time} is not stored, named {named.get(time)}")
        elif named.get(time) == why:
            findings.named[why] = findings.named.get(why, 0) + 1
        elif time in truth or first < time < last:
            findings.misnamed += 1
            findings.note(f"{name} {time} is {why}, named {named.get(time)}")
    return findings


def _by_time(ranges: Sequence[Named], times: Iterable[int]) -> dict[int, str]:
    """The reason of each time that a range covers; ranges of one kind do not overlap."""
    ordered = sorted(ranges, key=lambda each: each.from_time)
    found: dict[int, str] = {}
    index = 0
    for time in sorted(times):
        while index < len(ordered) and ordered[index].to_time < time:
            index += 1
        if index < len(ordered) and ordered[index].from_time <= time:
            found[time] = ordered[index].why
    return found
