"""The admin's pages of what ingest writes: the stored series and the gap ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from typing_extensions import override

from market.admin.cells import chart_link, state_cell
from market.admin.filters import (
    REASONS,
    ExchangeFilter,
    ForeignExchange,
    GapStateFilter,
    ReasonFilter,
    StoredFilter,
)
from market.admin.requests import report_asked_again
from market.admin.status import series_of
from market.ingest.backfill import NOT_ASKED
from market.ingest.coverage import is_supported, request_repairs
from market.ingest.gap_ranges import UNSETTLED, GapState
from market.ingest.gap_rows import columns_of, entry_of, in_states, state_of
from market.installation.words import as_time, gap_evidence, gap_progress, gap_state
from market.models import GapRecord, Series
from market.stores.pruning import prune


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

    list_display = ("name", "chart", "head", "epoch", "is_derived", "open_gaps")
    fields = readonly_fields = list_display
    list_filter = (ExchangeFilter, StoredFilter)
    search_fields = ("name",)
    ordering = ("name",)
    actions = ("prune",)

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Series]:
        unsettled = in_states(UNSETTLED, prefix="gaprecord__")
        rows: QuerySet[Series] = super().get_queryset(request)
        return rows.annotate(open_gaps=Count("gaprecord", filter=unsettled))

    @admin.display(description=gettext_lazy("chart"))
    def chart(self, row: Series) -> SafeString:
        """A link to the chart."""
        return chart_link(row.name)

    @admin.display(description=gettext_lazy("newest candle (UTC)"), ordering="head_time")
    def head(self, row: Series) -> str:
        """Open time of the newest stored candle."""
        return as_time(row.head_time)

    @admin.display(description=gettext_lazy("open gaps"), ordering="open_gaps")
    def open_gaps(self, row: Any) -> int:
        """Number of recorded gaps that the exchange is requested again."""
        return int(row.open_gaps)

    def has_prune_permission(self, request: HttpRequest) -> bool:
        """Whether the user may remove empty series: those who may delete series."""
        # Not this admin's own check, which refuses every deletion.
        user: Any = request.user
        return bool(user.has_perm("market.delete_series"))

    @admin.action(
        description=gettext_lazy("Remove those that never had a candle"), permissions=["prune"]
    )
    def prune(self, request: HttpRequest, rows: QuerySet[Series]) -> None:
        """Remove the chosen series without candles; the others stay."""
        names = list(rows.values_list("name", flat=True))
        removed = prune(names)
        counts = {"removed": removed, "kept": len(names) - removed}
        text = _("%(removed)d series removed, %(kept)d kept.") % counts
        self.message_user(request, text)


@admin.register(GapRecord)
class GapRecordAdmin(ReadOnlyAdmin):
    """The gap ledger."""

    list_display = ("series", "chart", "first", "last", "explained", "progress")
    fields = readonly_fields = (
        *("series", "chart", "first", "last", "gap_state", "why", "shown_by", "progress"),
        *("detected_at", "updated_at"),
    )
    list_filter = (ForeignExchange, GapStateFilter, ReasonFilter)
    list_select_related = ("series",)
    search_fields = ("series__name",)
    ordering = ("series__name", "from_time")
    actions = ("repair",)

    @admin.display(description=gettext_lazy("chart"))
    def chart(self, row: GapRecord) -> SafeString:
        """A link to the chart."""
        return chart_link(row.series.name)

    @admin.display(description=gettext_lazy("first missing (UTC)"), ordering="from_time")
    def first(self, row: GapRecord) -> str:
        """Open time of the first missing candle."""
        return as_time(row.from_time)

    @admin.display(description=gettext_lazy("last missing (UTC)"), ordering="to_time")
    def last(self, row: GapRecord) -> str:
        """Open time of the last missing candle."""
        return as_time(row.to_time)

    @admin.display(description=gettext_lazy("state"))
    def gap_state(self, row: GapRecord) -> str:
        """Whether it is known why the candles are missing, and whether they are requested."""
        return gap_state(state_of(row))

    @admin.display(description=gettext_lazy("reason"), ordering="reason")
    def why(self, row: GapRecord) -> str:
        """Why the candles are missing."""
        return str(REASONS.get(row.reason, row.reason))

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def explained(self, row: GapRecord) -> str | SafeString:
        """The state and its reason, with the evidence behind them."""
        return state_cell(self.gap_state(row), self.why(row), self.shown_by(row))

    @admin.display(description=gettext_lazy("evidence (UTC)"))
    def shown_by(self, row: GapRecord) -> str:
        """What an answer of the exchange showed."""
        return gap_evidence(entry_of(row))

    @admin.display(description=gettext_lazy("attempts"), ordering="next_attempt_at")
    def progress(self, row: GapRecord) -> str:
        """Attempts so far and the next one, as a sentence."""
        return gap_progress(entry_of(row))

    def has_repair_permission(self, request: HttpRequest) -> bool:
        """Whether the user may request a repair: those who may change gaps."""
        # Not this admin's own check, which refuses every change.
        user: Any = request.user
        return bool(user.has_perm("market.change_gaprecord"))

    @admin.action(description=gettext_lazy("Try again"), permissions=["repair"])
    def repair(self, request: HttpRequest, rows: QuerySet[GapRecord]) -> None:
        """Ask the exchange for the candles again, counting attempts from zero."""
        # Read first: the list may be filtered by the state that changes now.
        chosen = list(rows.select_related("series"))
        now = datetime.now(UTC)
        missing = [row.pk for row in chosen if state_of(row) is not GapState.REPAIRED]
        GapRecord.objects.filter(pk__in=missing).update(
            **columns_of(GapState.OPEN),
            reason=NOT_ASKED,
            evidence=None,
            refused_rows=0,
            attempts=0,
            next_attempt_at=now,
            updated_at=now,
        )
        asked = [
            entry_of(row)
            for row in chosen
            if (series := series_of(row.series.name)) is not None
            and is_supported(series)
            and state_of(row) is not GapState.REPAIRED
        ]
        request_repairs(asked)
        report_asked_again(self, request, len(asked), of=len(chosen))
