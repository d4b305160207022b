"""The result of a drill, and the table of results in the docs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from market.files import write_whole

HEADER = (
    "| what happens | watchers | candles | lost | duplicated | out of order | wrong"
    " | all up to date after, s | at most behind, s | notes |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
)
BEGIN, END = "<!-- drills -->\n", "<!-- /drills -->\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a drill, counted at its watchers; times in seconds.

    `whole_after_s` is the time from the end of the fault until every watcher was connected and up
    to date again, 0 when they always were; `most_behind_s` is the farthest that any of them fell
    behind. `wrong` are candles whose values are not the exchange's, delivered or stored.
    """

    name: str
    watchers: int = 0
    delivered: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    wrong: int = 0
    whole_after_s: float = 0.0
    most_behind_s: float = 0.0
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @staticmethod
    def of_failure(name: str, reason: str) -> Outcome:
        """Return the outcome of a drill that was not completed."""
        return Outcome(name=name, failures=(reason,))

    @property
    def is_clean(self) -> bool:
        """Whether every count is zero and no expectation failed."""
        counts = (self.lost, self.duplicated, self.out_of_order, self.wrong)
        return not any(counts) and not self.failures

    @property
    def remarks(self) -> str:
        """Notes and failures in one line."""
        remarks = "; ".join([*self.notes, *(f"FAILED: {each}" for each in self.failures)])
        # A failure may end with the last lines of a program: in a table they would be rows.
        return " ".join(remarks.replace("|", "/").split())

    @property
    def row(self) -> str:
        """The outcome as a row of the docs' table."""
        cells = (
            self.name,
            *(f"{count:,}" for count in (self.watchers, self.delivered)),
            *map(str, (self.lost, self.duplicated, self.out_of_order, self.wrong)),
            *(f"{seconds:.1f}" for seconds in (self.whole_after_s, self.most_behind_s)),
            self.remarks,
        )
        return f"| {' | '.join(cells)} |"

    def __str__(self) -> str:
        line = (
            f"{self.name}: {self.watchers} watchers, {self.delivered} candles,"
            f" lost {self.lost}, duplicated {self.duplicated}, out of order {self.out_of_order},"
            f" wrong {self.wrong}, all up to date after {self.whole_after_s:.1f} s,"
            f" at most {self.most_behind_s:.1f} s behind"
        )
        return f"{line}; {self.remarks}" if self.remarks else line


def has_table(page: Path) -> bool:
    """Whether a page exists and has the place of the table."""
    text = page.read_text() if page.is_file() else ""
    return BEGIN in text and END in text


def write_report(page: Path, outcomes: Iterable[Outcome]) -> None:
    """Write outcomes into the table of a page, and keep the rows of other drills."""
    before, rest = page.read_text().split(BEGIN)
    old, after = rest.split(END)
    rows = {_name_of(row): row for row in old.splitlines()[2:]}
    rows |= {outcome.name: outcome.row for outcome in outcomes}
    table = HEADER + "".join(f"{row}\n" for row in rows.values())
    write_whole(page, before + BEGIN + table + END + after)


def _name_of(row: str) -> str:
    return row.split(" | ")[0].removeprefix("| ")
