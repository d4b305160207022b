"""The admin of factor ledgers: how far they are, what they hold, and the rebuild action."""

from __future__ import annotations

import contextlib
from functools import reduce
from operator import or_
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from typing_extensions import override

from factors import runtime
from factors.alerts.admin import AlertAdmin, AlertRuleAdmin
from factors.domain.parameters import ParameterError
from factors.models import FactorState
from factors.parameters_admin import FactorParametersAdmin
from factors.tasks import request_rebuild
from market.admin import ReadOnlyAdmin
from market.admin.cells import chart_link
from market.admin.filters import ForeignExchange
from market.domain.series import SeriesId
from market.installation.words import as_time
from market.models import Series

__all__ = ["AlertAdmin", "AlertRuleAdmin", "FactorParametersAdmin", "FactorStateAdmin"]


class LogicFilter(admin.SimpleListFilter):
    """Whether ledgers come from the logic and parameters of this process."""

    title = gettext_lazy("logic")
    parameter_name = "logic"

    @override
    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, Any]]:
        return [("current", gettext_lazy("current")), ("outdated", gettext_lazy("outdated"))]

    @override
    def queryset(
        self, request: HttpRequest, queryset: QuerySet[FactorState]
    ) -> QuerySet[FactorState]:
        if self.value() == "current":
            return queryset.filter(current())
        return queryset.exclude(current()) if self.value() == "outdated" else queryset


def current() -> Q:
    """Ledgers that come from the logic and the parameters that their series have now."""
    own = Series.objects.filter(factor_parameters__isnull=False).distinct()
    named = {row.pk: fingerprint_of(row) for row in own.prefetch_related("factor_parameters")}
    usual = Q(fingerprint=runtime.engine().fingerprint) & ~Q(series_id__in=list(named))
    return reduce(or_, (Q(series_id=key, fingerprint=each) for key, each in named.items()), usual)


def fingerprint_of(row: Series) -> str:
    """Of the logic and the parameters that a series has now; empty if they are not accepted."""
    values = {each.factor: each.parameters for each in row.factor_parameters.all()}
    with contextlib.suppress(ParameterError):
        return runtime.engines().having(SeriesId.parse(row.name), values).fingerprint
    return ""


@admin.register(FactorState)
class FactorStateAdmin(ReadOnlyAdmin):
    """The factor ledger of each series."""

    list_display = ("series", "chart", "head", "lag", "epoch", "logic")
    list_filter = (ForeignExchange, LogicFilter)
    list_select_related = ("series",)
    search_fields = ("series__name",)
    ordering = ("series__name",)
    fields = ("series", "head", "lag", "epoch", "fingerprint", "logic", "events")
    readonly_fields = fields
    actions = ("rebuild",)

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[FactorState]:
        rows: QuerySet[FactorState] = super().get_queryset(request)
        return rows.prefetch_related("series__factor_parameters")

    @admin.display(description=gettext_lazy("chart"))
    def chart(self, row: FactorState) -> SafeString:
        """A link to the chart."""
        return chart_link(row.series.name)

    @admin.display(description=gettext_lazy("newest candle (UTC)"), ordering="head_time")
    def head(self, row: FactorState) -> str:
        """Open time of the newest candle in the ledger."""
        return as_time(row.head_time if row.head_time >= 0 else None)

    @admin.display(description=gettext_lazy("lag"))
    def lag(self, row: FactorState) -> str:
        """How far the ledger is behind the stored candles."""
        stored = row.series.head_time
        timeframe = SeriesId.parse(row.series.name).timeframe
        if stored is None or stored <= row.head_time:
            return _("up to date")
        behind = timeframe.steps(max(row.head_time, 0), stored)
        text = ngettext("%(count)s candle behind", "%(count)s candles behind", behind)
        return text % {"count": f"{behind:,}"}

    @admin.display(description=gettext_lazy("logic"))
    def logic(self, row: FactorState) -> str:
        """Whether the ledger comes from the logic and parameters of this process."""
        same = row.fingerprint == fingerprint_of(row.series)
        standing = _("current") if same else _("outdated")
        return f"{row.fingerprint[:12]} ({standing})"

    @admin.display(description=gettext_lazy("events"))
    def events(self, row: FactorState) -> str:
        """How many events of each kind there are: counted on the page of one series only."""
        counts = runtime.factor_ledger().event_counts(SeriesId.parse(row.series.name))
        return ", ".join(f"{each.kind}: {each.event_count:,}" for each in counts) or _("none")

    def has_rebuild_permission(self, request: HttpRequest) -> bool:
        """Whether the user may rebuild ledgers: those who may change them."""
        # Not a Django permission check of this admin: rows can't be edited, only recomputed.
        user: Any = request.user
        return bool(user.has_perm("factors.change_factorstate"))

    @admin.action(
        description=gettext_lazy("Rebuild from the stored candles"), permissions=["rebuild"]
    )
    def rebuild(self, request: HttpRequest, rows: QuerySet[FactorState]) -> None:
        """Request rebuilds of factors and drawings; candles are not changed."""
        names = [row.series.name for row in rows.select_related("series")]
        asked = sum(request_rebuild(SeriesId.parse(name)) for name in names)
        level = messages.SUCCESS if asked == len(names) else messages.WARNING
        text = _("%(requested)d of %(all)d rebuilds requested.")
        self.message_user(request, text % {"requested": asked, "all": len(names)}, level)
