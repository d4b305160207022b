"""Filters of the admin's lists: by exchange, and by how following goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import F, Func, Q, QuerySet, TextField, Value
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from typing_extensions import override

from market.admin.status import FollowState, statuses
from market.ingest.gap_ranges import GapState
from market.ingest.gap_rows import in_states
from market.installation.words import GAP_STATES

# As the gap ledger has them; others are what an exchange or our check gave.
REASONS = {
    "not asked for yet": _("not asked for yet"),
    "exchange unreachable": _("exchange unreachable"),
    "nothing was traded": _("nothing was traded"),
    "too old for the exchange": _("too old for the exchange"),
    "not in the answer": _("not in the answer"),
    "rows were refused": _("rows were refused"),
    "unknown exchange": _("unknown exchange"),
    # What the release before recorded, without evidence.
    "not on the exchange": _("not on the exchange"),
}

Choices = Iterable[tuple[str, Any]]


class ExchangeFilter(SimpleListFilter):
    """The exchanges that the list has; `field` is the lookup of the series' id."""

    title = _("exchange")
    parameter_name = "exchange"
    field = "name"

    @override
    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        exchange: Any = Func(
            F(self.field), Value(":"), Value(1), function="split_part", output_field=TextField()
        )
        rows = model_admin.model._default_manager.annotate(series_exchange=exchange).order_by()
        names = rows.values_list("series_exchange", flat=True).distinct()
        return [(name, name) for name in sorted(names)]

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return (
            queryset.filter(**{f"{self.field}__startswith": f"{chosen}:"}) if chosen else queryset
        )


class WhitelistExchange(ExchangeFilter):
    """Exchanges of the whitelist."""

    field = "series_id"


class ForeignExchange(ExchangeFilter):
    """Exchanges of rows that belong to a series."""

    field = "series__name"


class StateFilter(SimpleListFilter):
    """How following the whitelisted series goes."""

    title = _("state")
    parameter_name = "state"

    @override
    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return FollowState.choices

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if chosen not in FollowState.values:
            return queryset
        # The state is not in the database; the whitelist is short.
        rows = list(queryset.values_list("pk", "series_id", "enabled"))
        found = statuses(series_id for _, series_id, _ in rows)
        return queryset.filter(
            pk__in=[
                pk
                for pk, series_id, enabled in rows
                if found[series_id].is_in(FollowState(chosen), is_enabled=enabled)
            ]
        )


class StoredFilter(SimpleListFilter):
    """Stored series with candles, without one, and with open gaps."""

    title = _("state")
    parameter_name = "state"
    CONDITIONS = (
        ("stored", _("has candles"), Q(head_time__isnull=False)),
        ("empty", _("never had a candle"), Q(head_time__isnull=True)),
        ("gaps", _("has open gaps"), Q(open_gaps__gt=0)),
    )

    @override
    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return [(name, title) for name, title, _ in self.CONDITIONS]

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for name, _title, condition in self.CONDITIONS:
            if name == self.value():
                return queryset.filter(condition)
        return queryset


class GapStateFilter(SimpleListFilter):
    """The state of a gap."""

    title = _("state")
    parameter_name = "state"

    @override
    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return [(state.value, title) for state, title in GAP_STATES.items()]

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = [state for state in GapState if state == self.value()]
        return queryset.filter(in_states(chosen)) if chosen else queryset


class ReasonFilter(SimpleListFilter):
    """Why candles are missing."""

    title = _("reason")
    parameter_name = "reason"

    @override
    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return list(REASONS.items())

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(reason=self.value()) if self.value() else queryset
