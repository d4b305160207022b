"""The files of a run (report.md and .html, measured.json, latencies.csv, usage.csv), and its page.

The last runs' figures are kept in docs/capacity.md, between two markers per kind of run.
"""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from lab.capacity.figures import Measured, Spread, percentile
from lab.capacity.gate import Check
from lab.capacity.measure import Raw, delays
from lab.capacity.resources import Sample
from lab.exchange import seconds_of
from lab.plots import Points, line_plot
from market.files import write_whole

Table = list[tuple[str, ...]]
_escape = partial(html.escape, quote=False)
ASKED = "What a page asks for over HTTP in a minute"
RECORDED = ("Thresholds", "Delays", "Costs", "Web processes, for 1,000 watchers", ASKED)
RECORDED_FACTS = ("processor", "cores", "memory", "load before", "revision")
DRAWN = ("expected", "delivered", "recovered", "missing", "duplicates", "disorder")
CDF_SHARES = [each / 200 for each in range(1, 200)] + [0.999, 0.9999]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run, as it is reported: of watchers of the socket alone, and of as many pages or none."""

    command: str
    began: str
    facts: Mapping[str, str]
    measured: Measured
    checks: Sequence[Check]
    pages: Measured | None = None
    page_checks: Sequence[Check] = ()

    @property
    def passed(self) -> bool:
        """Whether every threshold was kept."""
        return not self._failed

    @property
    def verdict(self) -> str:
        """The result in one line."""
        return f"FAILED: {', '.join(self._failed)}" if self._failed else "PASSED"

    @property
    def _failed(self) -> list[str]:
        return [
            *(check.name for check in self.checks if not check.passed),
            *(f"pages: {check.name}" for check in self.page_checks if not check.passed),
        ]


def write_report(folder: Path, report: Report, raw: Raw, page_raw: Raw | None = None) -> None:
    """Write all files of a run into an existing folder."""
    tables = dict(tables_of(report))
    plots = _plots(report.measured, raw)
    _write_rows(folder, "", raw)
    if report.pages is not None and page_raw is not None:
        plots += _plots(report.pages, page_raw)
        _write_rows(folder, "page-", page_raw)
    (folder / "report.md").write_text(_markdown(report, tables))
    (folder / "report.html").write_text(_html(report, tables, plots))
    (folder / "measured.json").write_text(json.dumps(asdict(report), indent=1))


def _write_rows(folder: Path, prefix: str, raw: Raw) -> None:
    for name, rows in (("latencies", _latency_rows(raw)), ("usage", _usage_rows(raw.samples))):
        with (folder / f"{prefix}{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)


def tables_of(report: Report) -> Iterator[tuple[str, Table]]:
    """Return every table of the report with its heading; the first row names the columns."""
    yield "Thresholds", _threshold_rows(report)
    own = dict(_tables_of(report.measured))
    other = {} if report.pages is None else dict(_tables_of(report.pages))
    for heading in own | other:
        left, right = own.get(heading, []), other.get(heading, [])
        yield heading, beside(left, right) if left and right else left or right
    yield "Machine and versions", [("what", "which"), *report.facts.items()]


def _threshold_rows(report: Report) -> Table:
    kept = {True: "yes", False: "**NO**"}
    if report.pages is None:
        rows = [(c.name, c.measured, c.bound, kept[c.passed]) for c in report.checks]
        return [("what", "measured", "threshold", "kept"), *rows]
    own = {check.name: check for check in report.checks}
    pages = {check.name: check for check in report.page_checks}
    found: Table = [("what", "sockets", "pages", "threshold", "kept")]
    for name in own | pages:
        both = [each[name] for each in (own, pages) if name in each]
        measured = (each[name].measured if name in each else "" for each in (own, pages))
        found.append((name, *measured, both[0].bound, kept[all(each.passed for each in both)]))
    return found


def beside(sockets: Table, pages: Table) -> Table:
    """Return one table of two, with the columns of both beside each other."""
    heads = [f"{kind}: {name}" for kind, table in _named(sockets, pages) for name in table[0][1:]]
    rows: dict[str, list[str]] = {}
    filled = 0
    for _, table in _named(sockets, pages):
        for name, *cells in table[1:]:
            row = rows.setdefault(name, [])
            row += [""] * (filled - len(row)) + cells
        filled += len(table[0]) - 1
    body = [(name, *row, *[""] * (filled - len(row))) for name, row in rows.items()]
    return [(sockets[0][0], *heads), *body]


def _named(sockets: Table, pages: Table) -> tuple[tuple[str, Table], ...]:
    return ("sockets", sockets), ("pages", pages)


def _tables_of(measured: Measured) -> Iterator[tuple[str, Table]]:
    yield "Delays", [("what", "count", "p50", "p95", "p99", "max"), *_delay_rows(measured)]
    yield "Costs", [("process", "cores", "MB before", "MB at the end"), *_cost_rows(measured)]
    thousand = [(name, f"{value:.3g}") for name, value in measured.per_thousand().items()]
    yield "Web processes, for 1,000 watchers", [("what", "figure"), *thousand]
    if measured.drawings is not None:
        asked = [(name, f"{count:g}") for name, count in measured.asked.requests.items()]
        total = ("kilobytes", f"{measured.asked.kilobytes:g}")
        yield ASKED, [("what", "figure"), *asked, total]
    yield "Counts", [("what", "count"), *_count_rows(measured)]


def _delay_rows(measured: Measured) -> Iterator[tuple[str, ...]]:
    yield _row("store commit to watcher", measured.from_commit)
    yield _row("exchange close to watcher", measured.from_close)
    if measured.drawings is not None:
        yield _row("store commit to drawings at a page", measured.drawings.from_commit)
        yield _row("first load to candles, drawings, first message", measured.subscribed.delay)
    else:
        yield _row("connect to first message", measured.subscribed.delay)
    if measured.reconnected is not None:
        yield _row("reconnect storm: loss to first message", measured.reconnected.delay)
    if measured.pages is not None:
        name = "page-load storm" if measured.drawings is None else "first loads at once"
        name += f": {measured.pages.megabytes:g} MB in {measured.pages.seconds:g} s"
        yield _row(name, measured.pages.delay)
    if measured.bare is not None:
        yield _row("bare broadcast loop: sent to watcher", measured.bare)


def _row(name: str, spread: Spread) -> tuple[str, ...]:
    figures = (spread.p50, spread.p95, spread.p99, spread.longest)
    return (name, str(spread.count), *(f"{each:.1f} ms" for each in figures))


def _cost_rows(measured: Measured) -> Iterator[tuple[str, ...]]:
    for use in measured.uses:
        yield use.name, f"{use.cores:.3f}", f"{use.megabytes_before:.1f}", f"{use.megabytes:.1f}"
    yield "all", f"{sum(use.cores for use in measured.uses):.3f}", "", ""


def _count_rows(measured: Measured) -> Iterator[tuple[str, ...]]:
    tally = asdict(measured.tally)
    examples = tally.pop("examples")
    if measured.drawings is not None:
        drawn = asdict(measured.drawings.tally)
        yield from ((f"drawings {name}, over all pages", str(drawn[name])) for name in DRAWN)
    yield "candles the exchange closed", str(measured.truth)
    yield from ((f"candles {name}, over all watchers", str(count)) for name, count in tally.items())
    if measured.counted is not None:
        yield from (
            (f"steady part: candles {name}", str(count))
            for name, count in asdict(measured.counted).items()
        )
    yield from ((f"watchers: {name}", str(count)) for name, count in measured.counts.items())
    yield from (("note", note) for note in dict.fromkeys((*measured.notes, *examples)))


def _load(measured: Measured) -> str:
    return (
        f"{measured.watchers} {measured.kind} of {measured.series_each} series each,"
        f" {measured.series} series, {measured.instances} web processes,"
        f" {measured.seconds:g} s steady,"
        f" {measured.frames_per_second:g} closed candles a second delivered."
    )


def _markdown(report: Report, tables: Mapping[str, Table]) -> str:
    parts = [f"# Capacity: {report.verdict}", f"`{report.command}`, {report.began}"]
    parts += [_load(each) for each in (report.measured, report.pages) if each is not None]
    for heading, rows in tables.items():
        parts.append(f"## {heading}\n\n{markdown_table(rows)}")
    return "\n\n".join(parts) + "\n"


def markdown_table(rows: Table) -> str:
    """Return a table in Markdown; the first row names the columns."""
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _html(report: Report, tables: Mapping[str, Table], plots: Sequence[str]) -> str:
    colour = "#059669" if report.passed else "#dc2626"
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;max-width:920px;margin:2em auto;padding:0 1em;"
        "color:#111827}table{border-collapse:collapse;margin:1em 0}td,th{padding:3px 12px;"
        "border-bottom:1px solid #e5e7eb;text-align:left}svg{max-width:100%;margin:1em 0}"
        f"h1{{color:{colour}}}"
    )
    parts = [
        f"<h1>Capacity: {_escape(report.verdict)}</h1>",
        f"<p><code>{_escape(report.command)}</code>, {report.began}</p>",
        *(f"<p>{_escape(_load(each))}</p>" for each in (report.measured, report.pages) if each),
        *plots,
    ]
    for heading, rows in tables.items():
        parts.append(f"<h2>{_escape(heading)}</h2>{_html_table(rows)}")
    head = f'<meta charset="utf-8"><title>Capacity</title><style>{style}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _html_table(rows: Table) -> str:
    lines = []
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        cells = (f"<{tag}>{_escape(cell.strip('*'))}</{tag}>" for cell in row)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _plots(measured: Measured, raw: Raw) -> list[str]:
    window = raw.window
    commit, close = delays(raw.received.arrivals, raw.stored, window)
    moments = measured.timeline
    over_time = {
        "p50": [(moment.second, moment.p50) for moment in moments],
        "p95": [(moment.second, moment.p95) for moment in moments],
        "longest": [(moment.second, moment.longest) for moment in moments],
    }
    shares = {"from commit": _shares(commit), "from close": _shares(close)}
    if measured.drawings is not None:
        shares["drawings, from commit"] = _shares(delays(raw.received.drawn, raw.stored, window)[0])
    began = raw.samples[0].at if raw.samples else 0.0
    cores: dict[str, Points] = {}
    memory: dict[str, Points] = {}
    for name in dict.fromkeys(sample.name for sample in raw.samples):
        own = [sample for sample in raw.samples if sample.name == name]
        cores[name] = [
            (b.at - began, max(0.0, (b.cpu_s - a.cpu_s) / (b.at - a.at))) for a, b in pairwise(own)
        ]
        memory[name] = [(sample.at - began, sample.memory / 1e6) for sample in own]
    kind = measured.kind
    return [
        line_plot(f"Commit to {kind} over the steady part", over_time, x="seconds", y="ms"),
        line_plot(f"{kind}: part of deliveries done within a time", shares, x="ms", y="%"),
        line_plot(f"{kind}: processor", cores, x="seconds of the run", y="cores"),
        line_plot(f"{kind}: memory", memory, x="seconds of the run", y="MB"),
    ]


def _shares(found: Mapping[int, Sequence[float]]) -> Points:
    ordered = sorted(delay for each in found.values() for delay in each)
    if not ordered:
        return []
    return [(1000 * percentile(ordered, share), 100 * share) for share in CDF_SHARES]


def _latency_rows(raw: Raw) -> Iterator[Sequence[object]]:
    names = ("p50_ms", "p95_ms", "p99_ms", "max_ms")
    yield "series_id", "candle_time", "closed_at", "committed_at", "watchers", *names
    for (name, time), arrivals in sorted(raw.received.arrivals.items()):
        committed_at = raw.stored.committed.get((name, time))
        if committed_at is not None:
            spread = Spread.of(at - committed_at for at in arrivals)
            figures = (spread.p50, spread.p95, spread.p99, spread.longest)
            yield name, time, time + seconds_of(name), committed_at, spread.count, *figures


def _usage_rows(samples: Sequence[Sample]) -> Iterator[Sequence[object]]:
    yield "at", "process", "cpu_seconds", "memory_bytes"
    for sample in samples:
        yield round(sample.at, 3), sample.name, round(sample.cpu_s, 2), sample.memory


class RecordError(Exception):
    """The page has no place for the figures; the message names the markers."""


def check_record(path: Path, kind: str) -> None:
    """Raise RecordError unless the page has a place for figures of this kind."""
    _place_of(path, kind)


def record(path: Path, kind: str, text: str) -> None:
    """Replace what is between `<!-- kind -->` and `<!-- /kind -->`. Raises RecordError."""
    head, tail = _place_of(path, kind)
    write_whole(path, f"{head}\n{text.strip()}\n\n{tail}")


def _place_of(path: Path, kind: str) -> tuple[str, str]:
    """What stands before and after the figures, with the markers."""
    page = path.read_text() if path.is_file() else ""
    head, begin, rest = page.partition(f"<!-- {kind} -->\n")
    _, end, tail = rest.partition(f"<!-- /{kind} -->")
    if not begin or not end:
        raise RecordError(f"{path} has no <!-- {kind} --> and <!-- /{kind} -->")
    return head + begin, end + tail


def recorded(report: Report) -> str:
    """Return the part of a run that the page shows."""
    facts = ", ".join(
        f"{name} {report.facts[name]}" for name in RECORDED_FACTS if name in report.facts
    )
    parts = [f"`{report.command}`, {report.began}: **{report.verdict}**.", f"{facts}."]
    tables = dict(tables_of(report))
    parts += [markdown_table(tables[heading]) for heading in RECORDED if heading in tables]
    return "\n\n".join(parts)
