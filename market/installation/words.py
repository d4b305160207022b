"""How following a series, and repairing its gaps, is going: in sentences for an operator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from market.domain.feed import NO_STREAM
from market.domain.lease_store import JobReport
from market.ingest.gap_ranges import MAX_ATTEMPTS, GapEntry, GapState

NOTHING = "–"

STATES = {
    "running": gettext_lazy("running"),
    "backfilling": gettext_lazy("backfilling"),
    "waiting": gettext_lazy("waiting"),
    "open_breaker": gettext_lazy("open breaker"),
}
TROUBLED = ("waiting", "open_breaker")
# How long after the last one dropped rows are a problem.
REFUSED_SHOWN_S = 3_600.0

GAP_STATES = {
    GapState.OPEN: gettext_lazy("open"),
    GapState.REPAIRING: gettext_lazy("repairing"),
    GapState.REPAIRED: gettext_lazy("repaired"),
    GapState.QUIET: gettext_lazy("quiet"),
    GapState.UNSERVED: gettext_lazy("unserved"),
    GapState.UNANSWERED: gettext_lazy("unanswered"),
    GapState.DROPPED: gettext_lazy("dropped"),
}
# Of gaps that are not requested again.
_GAP_ENDS = {
    GapState.REPAIRED: gettext_lazy("Stored by now."),
    GapState.QUIET: gettext_lazy("Final: nothing was traded."),
    GapState.UNSERVED: gettext_lazy(
        "Not served by the exchange: use import_candles or backfill --from-trades."
    ),
}

# What an error means, by what is in its text: ours name the class of ccxt's exception. The first
# that fits counts.
_CAUSES = tuple(
    (re.compile(pattern, re.IGNORECASE), sentence)
    for pattern, sentence in (
        (
            r"\b(429|418)\b|RateLimit|DDoSProtection|asked for a pause|too many requests",
            gettext_lazy("The exchange limits the rate of our requests."),
        ),
        (
            r"\brows refused\b",
            gettext_lazy("The exchange sent rows that are no candles of this series."),
        ),
        (
            r"on another grid|at uneven times",
            gettext_lazy("The exchange opens candles of this timeframe at other times."),
        ),
        (
            r"\bderived_series\b",
            gettext_lazy("The store takes only candles of this series that are made of its base."),
        ),
        (
            r"\bhas no\b|unknown (exchange|market)|BadSymbol|NotSupported",
            gettext_lazy("The exchange does not have this series."),
        ),
        (
            r"AuthenticationError|PermissionDenied|\b(401|403|451)\b|restricted location",
            gettext_lazy("The exchange refuses access from this address."),
        ),
        (
            r"another transaction|\b(database|store|disk|PostgreSQL|postgres)\b",
            gettext_lazy("The database could not store the candles."),
        ),
        (
            r"Time(d )?out",
            gettext_lazy("The exchange did not answer in time."),
        ),
        (
            r"NetworkError|NotAvailable|OnMaintenance|Cannot connect|Connection|ClientOSError"
            r"|OSError|closed with|\b50[0234]\b",
            gettext_lazy("The connection to the exchange failed."),
        ),
        (
            r"BadResponse|ExchangeError|(Value|Key|Type|Index)Error|AnswerTooLarge",
            gettext_lazy("The exchange sent an answer that can't be used."),
        ),
    )
)
_UNKNOWN_CAUSE = gettext_lazy("Following failed for an unexpected reason.")


@dataclass(frozen=True, slots=True)
class Problem:
    """Sentences about what is wrong, and the text of the error itself for those who search."""

    text: str
    detail: str = ""
    is_present: bool = True


def as_time(unix_seconds: float | None) -> str:
    """A time as text, UTC."""
    if unix_seconds is None:
        return NOTHING
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%Y-%m-%d %H:%M:%S}"


def state_of(report: JobReport) -> str:
    """The state of a follow job in a word or two; of a halted market that."""
    if report.is_halted:
        return _("halted or delisted")
    state = str(STATES.get(report.state, report.state.replace("_", " ")))
    return state if report.polled is None else _("%(state)s, polled") % {"state": state}


def cause_of(error: str) -> str:
    """What an error's text means, as a sentence."""
    return str(next((text for pattern, text in _CAUSES if pattern.search(error)), _UNKNOWN_CAUSE))


def problem_of(report: JobReport | None, now: float, *, late_s: float = 0) -> Problem | None:
    """What is wrong with following a series at `now` (Unix seconds), or was; None for nothing.

    `late_s`: by how much its next candle is late (market.domain.freshness.late_by).
    """
    if report is None:
        return None
    if report.is_halted:
        text = _("The exchange lists this market as halted or delisted: it has no new candles.")
        return Problem(text, report.last_error or "")
    if report.state in TROUBLED and report.last_error:
        return _trouble(report, report.last_error, now)
    if report.refused_at is not None and now - report.refused_at < REFUSED_SHOWN_S:
        text = ngettext(
            "The exchange sent %(count)d row that is no candle of this series: it is dropped.",
            "The exchange sent %(count)d rows that are not candles of this series: all dropped.",
            report.refused_rows,
        )
        return Problem(text % {"count": report.refused_rows}, report.last_error or "")
    if report.polled not in (None, NO_STREAM):
        text = _("Its candles are polled and come later: the exchange does not stream it.")
        return Problem(text, report.polled or "")
    if late_s:
        text = _(
            "Nothing has failed, and the newest candle is %(minutes)d minutes late: "
            "nothing is traded, or the exchange does not send it."
        )
        return Problem(text % {"minutes": late_s // 60}, report.last_error or "")
    if not report.last_error:
        return None
    cause = {"cause": cause_of(report.last_error)}
    return Problem(_("Solved: %(cause)s") % cause, report.last_error, False)


def _trouble(report: JobReport, error: str, now: float) -> Problem:
    cause = cause_of(error)
    guardrail = report.guardrail or {}
    sentences = [cause, *_attempts(guardrail, report.crashes), *_next_attempt(guardrail, now)]
    return Problem(" ".join(sentences), error)


def _attempts(guardrail: Mapping[str, Any], crashes: int) -> list[str]:
    failed = int(guardrail.get("consecutive_failures") or crashes)
    if not failed:
        return []
    text = ngettext(
        "%(count)d attempt has failed.", "%(count)d attempts in a row have failed.", failed
    )
    return [text % {"count": failed}]


def _next_attempt(guardrail: Mapping[str, Any], now: float) -> list[str]:
    failed_at = guardrail.get("last_failure_at")
    if not guardrail.get("consecutive_failures") or failed_at is None:
        return []
    left = failed_at + float(guardrail.get("last_backoff_s") or 0.0) - now
    if left < 1:
        return [_("The next attempt is due.")]
    return [_("The next attempt is in %(seconds)d s.") % {"seconds": left}]


def gap_state(state: GapState) -> str:
    """The state of a gap in a word or two."""
    return str(GAP_STATES[state])


def gap_evidence(entry: GapEntry) -> str:
    """What an answer of the exchange showed about a gap."""
    found = []
    evidence = entry.evidence
    if evidence is not None:
        asked = {"from": as_time(evidence.asked[0]), "to": as_time(evidence.asked[1])}
        found.append(_("Requested %(from)s to %(to)s.") % asked)
        if evidence.bars is not None:
            bars = {"before": as_time(evidence.bars[0]), "after": as_time(evidence.bars[1])}
            found.append(_("The answer has candles at %(before)s and %(after)s.") % bars)
    if entry.rows:
        refused = ngettext("%(count)d row was refused.", "%(count)d rows were refused.", entry.rows)
        found.append(refused % {"count": entry.rows})
    return " ".join(found) or NOTHING


def gap_progress(entry: GapEntry) -> str:
    """How the repair of a gap is going."""
    counts = {"attempts": entry.attempts, "most": MAX_ATTEMPTS}
    if entry.state in _GAP_ENDS:
        return str(_GAP_ENDS[entry.state])
    if entry.state is GapState.REPAIRING:
        return _("Attempt %(attempts)d of %(most)d is running.") % counts
    if entry.next_attempt_at is None:
        return _("All %(most)d attempts have failed; “Try again” starts anew.") % counts
    due = _("The next is due at %(time)s UTC.") % {"time": as_time(entry.next_attempt_at)}
    if not entry.attempts:
        return _("Not tried again so far.") + " " + due
    failed = ngettext(
        "%(attempts)d of %(most)d attempts has failed.",
        "%(attempts)d of %(most)d attempts have failed.",
        entry.attempts,
    )
    return f"{failed % counts} {due}"
