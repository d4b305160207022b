"""Keeps the figures of the last runs in docs/capacity.md, between two marks a kind of run."""

from __future__ import annotations

from pathlib import Path

from lab.capacity.report import Report, markdown_table, tables_of

RECORDED = ("Thresholds", "Delays", "Costs", "Web processes, for 1,000 watchers")
FACTS = ("processor", "cores", "memory", "load before", "revision")


class RecordError(Exception):
    """The page has no place for the figures; the message names the marks."""


def record(path: Path, kind: str, text: str) -> None:
    """Put `text` between `<!-- kind -->` and `<!-- /kind -->` in the page; raises RecordError."""
    page = path.read_text()
    head, begin, rest = page.partition(f"<!-- {kind} -->\n")
    _, end, tail = rest.partition(f"<!-- /{kind} -->")
    if not begin or not end:
        raise RecordError(f"{path} has no <!-- {kind} --> and <!-- /{kind} -->")
    path.write_text(f"{head}{begin}\n{text.strip()}\n\n{end}{tail}")


def recorded(report: Report) -> str:
    """What the page tells of a run."""
    facts = ", ".join(f"{name} {report.facts[name]}" for name in FACTS if name in report.facts)
    parts = [f"`{report.command}`, {report.began}: **{report.verdict}**.", f"{facts}."]
    tables = dict(tables_of(report))
    parts += [markdown_table(tables[heading]) for heading in RECORDED]
    return "\n\n".join(parts)
