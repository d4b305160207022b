"""The admin: the whitelist with its status, the stored series, and the gap ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from typing_extensions import override

from market.domain.feed import FeedError, FeedRefused
from market.domain.lease_store import JobReport
from market.domain.series import SeriesId, SeriesIdError
from market.exchanges.ccxt_feed import check_listed
from market.ingest.coverage import is_supported, request_backfill, request_newest
from market.ingest.gap_ranges import UNSETTLED
from market.ingest.supervisor import reports_of
from market.models import GapRecord, Series, WhitelistedSeries, validate_series_id
from market.stores.pruning import prune

log = logging.getLogger(__name__)

LISTING_TIMEOUT_S = 5.0
NOTHING = "–"


@dataclass(frozen=True, slots=True)
class FollowStatus:
    """Newest candle (Unix seconds) of a whitelisted series, and its job's report."""

    series: SeriesId | None
    head: int | None
    report: JobReport | None

    def lag(self) -> str:
        """How far the store is behind, as text."""
        if self.series is None or self.head is None:
            return NOTHING
        timeframe = self.series.timeframe
        behind = (timeframe.latest_closed(time.time()) - self.head) // timeframe.seconds
        return f"{behind} candles behind" if behind > 0 else "up to date"

    def status(self, *, is_enabled: bool) -> str:
        """What the follow job is doing, as text."""
        if not is_enabled:
            return "disabled"
        if not settings.SWITCHES.enable_whitelist_ingest:
            return "whitelist ingest is switched off"
        return self.report.state.replace("_", " ") if self.report else "waiting for a worker"


def statuses(names: Iterable[str]) -> dict[str, FollowStatus]:
    """The status of each named series, by one query and one call of the lease store."""
    parsed = {name: _parsed(name) for name in names}
    heads = dict(Series.objects.filter(name__in=parsed).values_list("name", "head_time"))
    reports = reports_of([series for series in parsed.values() if series is not None])
    return {
        name: FollowStatus(series, heads.get(name), reports.get(series) if series else None)
        for name, series in parsed.items()
    }


def _parsed(name: str) -> SeriesId | None:
    try:
        return SeriesId.parse(name)
    except SeriesIdError:
        return None


def as_time(unix_seconds: int | None) -> str:
    """A time as text, UTC."""
    if unix_seconds is None:
        return NOTHING
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%Y-%m-%d %H:%M:%S}"


class WhitelistForm(forms.ModelForm):  # type: ignore[type-arg]
    """Checks a series against its exchange, unless that does not answer within a few seconds."""

    unchecked = ""

    class Meta:
        model = WhitelistedSeries
        fields: ClassVar = ["series_id", "enabled"]

    def clean_series_id(self) -> str:
        """Reject what the exchange does not list; note when it could not be asked."""
        name: str = self.cleaned_data["series_id"]
        # The model's own validators run after this.
        validate_series_id(name)
        series = SeriesId.parse(name)
        if not is_supported(series):
            raise forms.ValidationError(f"unknown exchange: {series.exchange}", "unknown_exchange")
        if self.instance.pk is None or self.instance.series_id != name:
            self._ask_exchange(series)
        return name

    def _ask_exchange(self, series: SeriesId) -> None:
        try:
            asyncio.run(check_listed(series, timeout=LISTING_TIMEOUT_S))
        except FeedRefused as error:
            raise forms.ValidationError(str(error), "not_listed") from error
        except FeedError as error:
            log.warning("%s is whitelisted without a check: %s", series, error)
            self.unchecked = f"{series.exchange} did not answer, so the series is not checked."


class WhitelistPage(ChangeList):
    """A page of the whitelist with the status of its rows, fetched together."""

    @override
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found = statuses([row.series_id for row in self.result_list])
        for row in self.result_list:
            row.follow_status = found[row.series_id]


@admin.register(WhitelistedSeries)
class WhitelistedSeriesAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The series that are always followed."""

    form = WhitelistForm
    list_display = ("series_id", "enabled", "head", "lag", "status", "last_error")
    list_editable = ("enabled",)
    list_per_page = 50
    search_fields = ("series_id",)
    actions = ("backfill_now", "enable", "disable")

    @override
    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return WhitelistPage

    @override
    def get_changelist_form(self, request: HttpRequest, **options: Any) -> Any:
        # The column's heading is no label for screen readers.
        named = forms.CheckboxInput(attrs={"aria-label": "enabled"})
        return super().get_changelist_form(request, widgets={"enabled": named}, **options)

    @admin.display(description="newest candle (UTC)")
    def head(self, row: Any) -> str:
        """Open time of the newest stored candle."""
        return as_time(row.follow_status.head)

    @admin.display
    def lag(self, row: Any) -> str:
        """How far the store is behind."""
        return str(row.follow_status.lag())

    @admin.display
    def status(self, row: Any) -> str:
        """What the follow job is doing."""
        return str(row.follow_status.status(is_enabled=row.enabled))

    @admin.display(description="last error")
    def last_error(self, row: Any) -> str:
        """The job's last error."""
        report = row.follow_status.report
        return report.last_error or NOTHING if report else NOTHING

    @override
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if unchecked := getattr(form, "unchecked", ""):
            self.message_user(request, unchecked, messages.WARNING)

    @admin.action(description="Backfill the newest candles now", permissions=["change"])
    def backfill_now(self, request: HttpRequest, rows: QuerySet[WhitelistedSeries]) -> None:
        """Request as many of the newest candles as the start-up sync does."""
        candles = settings.SWITCHES.startup_kline_sync_target_candles
        series = [parsed for row in rows if (parsed := _parsed(row.series_id)) is not None]
        requested = sum(is_supported(each) and request_newest(each, candles) for each in series)
        _report_requested(self, request, requested, of=len(rows))

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, rows: QuerySet[WhitelistedSeries]) -> None:
        """Follow the series from now on."""
        self.message_user(request, f"{rows.update(enabled=True)} series enabled.")

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, rows: QuerySet[WhitelistedSeries]) -> None:
        """Stop following the series, except while they are watched."""
        self.message_user(request, f"{rows.update(enabled=False)} series disabled.")


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that only the ingest itself writes."""

    list_per_page = 50

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Series)
class SeriesAdmin(ReadOnlyAdmin):
    """The stored series."""

    list_display = ("name", "head", "epoch", "open_gaps")
    search_fields = ("name",)
    ordering = ("name",)
    actions = ("prune",)

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Series]:
        unsettled = Q(gaprecord__state__in=[state.value for state in UNSETTLED])
        rows: QuerySet[Series] = super().get_queryset(request)
        return rows.annotate(open_gaps=Count("gaprecord", filter=unsettled))

    @admin.display(description="newest candle (UTC)", ordering="head_time")
    def head(self, row: Series) -> str:
        """Open time of the newest stored candle."""
        return as_time(row.head_time)

    @admin.display(description="open gaps", ordering="open_gaps")
    def open_gaps(self, row: Any) -> int:
        """Number of recorded gaps that are neither filled nor absent."""
        return int(row.open_gaps)

    def has_prune_permission(self, request: HttpRequest) -> bool:
        """Whether the user may remove empty series: those who may delete series."""
        # Not this admin's own check, which refuses every deletion.
        user: Any = request.user
        return bool(user.has_perm("market.delete_series"))

    @admin.action(description="Remove those that never had a candle", permissions=["prune"])
    def prune(self, request: HttpRequest, rows: QuerySet[Series]) -> None:
        """Remove the chosen series without candles; the others stay."""
        names = list(rows.values_list("name", flat=True))
        removed = prune(names)
        self.message_user(request, f"{removed} series removed, {len(names) - removed} kept.")


@admin.register(GapRecord)
class GapRecordAdmin(ReadOnlyAdmin):
    """The gap ledger."""

    list_display = ("series", "first", "last", "state", "reason", "attempts", "updated_at")
    list_filter = ("state", "reason")
    list_select_related = ("series",)
    search_fields = ("series__name",)
    ordering = ("series__name", "from_time")
    actions = ("repair",)

    @admin.display(description="first missing (UTC)", ordering="from_time")
    def first(self, row: GapRecord) -> str:
        """Open time of the first missing candle."""
        return as_time(row.from_time)

    @admin.display(description="last missing (UTC)", ordering="to_time")
    def last(self, row: GapRecord) -> str:
        """Open time of the last missing candle."""
        return as_time(row.to_time)

    def has_repair_permission(self, request: HttpRequest) -> bool:
        """Whether the user may request a repair: those who may change gaps."""
        # Not this admin's own check, which refuses every change.
        user: Any = request.user
        return bool(user.has_perm("market.change_gaprecord"))

    @admin.action(description="Repair now", permissions=["repair"])
    def repair(self, request: HttpRequest, rows: QuerySet[GapRecord]) -> None:
        """Request the candles from the exchange again, counting attempts from zero."""
        # Read first: the list may be filtered by the state that changes now.
        chosen = list(rows.select_related("series"))
        rows.exclude(state=GapRecord.State.FILLED).update(
            state=GapRecord.State.OPEN, attempts=0, updated_at=datetime.now(UTC)
        )
        requested = 0
        for row in chosen:
            series = _parsed(row.series.name)
            if series is not None and is_supported(series):
                requested += request_backfill(series, row.from_time, row.to_time)
        _report_requested(self, request, requested, of=len(chosen))


def _report_requested(where: Any, request: HttpRequest, requested: int, *, of: int) -> None:
    level = messages.SUCCESS if requested == of else messages.WARNING
    where.message_user(request, f"{requested} of {of} backfills requested.", level)
