"""The status of whitelisted series: what is stored, and what the follow job reports."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db.models import TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from market.domain.freshness import late_by
from market.domain.lease_store import JobReport
from market.domain.series import SeriesId, SeriesIdError
from market.ingest.supervisor import reports_of
from market.installation.words import NOTHING, Problem, problem_of, state_of
from market.models import Series


class FollowState(TextChoices):
    """What a list of whitelisted series can be filtered by."""

    RUNNING = "running", gettext_lazy("running")
    BACKFILLING = "backfilling", gettext_lazy("backfilling")
    WAITING = "waiting", gettext_lazy("waiting")
    OPEN_BREAKER = "open_breaker", gettext_lazy("open breaker")
    UNFOLLOWED = "unfollowed", gettext_lazy("waiting for a worker")
    HALTED = "halted", gettext_lazy("halted or delisted")
    DISABLED = "disabled", gettext_lazy("disabled")
    FAILING = "failing", gettext_lazy("with a problem")
    BEHIND = "behind", gettext_lazy("behind or empty")


@dataclass(frozen=True, slots=True)
class FollowStatus:
    """Newest candle (Unix seconds) of a whitelisted series, and its job's report."""

    series: SeriesId | None
    head: int | None
    report: JobReport | None

    def behind(self) -> int | None:
        """How many closed candles the store lacks at the end; None without any candle."""
        if self.series is None or self.head is None:
            return None
        timeframe = self.series.timeframe
        return max(0, timeframe.steps(self.head, timeframe.latest_closed(time.time())))

    def lag(self) -> str:
        """How far the store is behind, as text."""
        behind = self.behind()
        if behind is None:
            return NOTHING
        if not behind:
            return _("up to date")
        text = ngettext("%(count)s candle behind", "%(count)s candles behind", behind)
        return text % {"count": f"{behind:,}"}

    def status(self, *, is_enabled: bool) -> str:
        """What the follow job is doing, as text."""
        if not is_enabled:
            return _("disabled")
        if not settings.SWITCHES.enable_whitelist_ingest:
            return _("whitelist ingest is switched off")
        return state_of(self.report) if self.report else _("waiting for a worker")

    def problem(self) -> Problem | None:
        """What is wrong with following it, as sentences."""
        now, late_s = time.time(), 0.0
        if self.series is not None and self.head is not None:
            late_s = late_by(self.head, self.series.timeframe, now)
        return problem_of(self.report, now, late_s=late_s)

    def is_in(self, state: FollowState, *, is_enabled: bool) -> bool:
        """Whether a row with this status is shown by the filter of a state."""
        match state:
            case FollowState.DISABLED:
                return not is_enabled
            case FollowState.BEHIND:
                return is_enabled and self.behind() != 0
            case FollowState.UNFOLLOWED:
                return is_enabled and self.report is None
            case FollowState.HALTED:
                return is_enabled and self.report is not None and self.report.is_halted
            case FollowState.FAILING:
                problem = self.problem()
                return is_enabled and problem is not None and problem.is_present
        return is_enabled and self.report is not None and self.report.state == state


def statuses(names: Iterable[str]) -> dict[str, FollowStatus]:
    """The status of each named series, by one query and one call of the lease store."""
    parsed = {name: series_of(name) for name in names}
    heads = dict(Series.objects.filter(name__in=parsed).values_list("name", "head_time"))
    reports = reports_of([series for series in parsed.values() if series is not None])
    return {
        name: FollowStatus(series, heads.get(name), reports.get(series) if series else None)
        for name, series in parsed.items()
    }


def series_of(name: str) -> SeriesId | None:
    """The series of a stored name; None for one that earlier versions accepted."""
    try:
        return SeriesId.parse(name)
    except SeriesIdError:
        return None
