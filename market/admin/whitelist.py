"""The admin's page of the whitelist: one series by its form, many as pasted text."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from typing_extensions import override

from market.admin.cells import chart_link, problem_cell
from market.admin.filters import StateFilter, WhitelistExchange
from market.admin.paste import PasteView
from market.admin.pasted import ask
from market.admin.requests import report_requested
from market.admin.status import series_of, statuses
from market.domain.feed import FeedRefused
from market.domain.series import SeriesId
from market.ingest.coverage import is_supported, request_newest
from market.installation.words import as_time
from market.models import WhitelistedSeries, validate_series_id
from market.wording import explained


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
        if self.instance.pk is None or self.instance.series_id != name:
            series = SeriesId.parse(name)
            answer = ask([series])[series]
            if isinstance(answer, FeedRefused):
                raise forms.ValidationError(explained(answer), answer.code)
            self.unchecked = answer
        return name


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
    list_display = ("series_id", "chart", "enabled", "head", "lag", "status", "problem")
    list_editable = ("enabled",)
    list_filter = (WhitelistExchange, StateFilter, "enabled")
    list_per_page = 50
    search_fields = ("series_id",)
    actions = ("backfill_now", "enable", "disable")

    @override
    def get_urls(self) -> list[URLPattern]:
        pasting = self.admin_site.admin_view(PasteView(self))
        return [
            path("paste/", pasting, name="market_whitelistedseries_paste"),
            *super().get_urls(),
        ]

    @override
    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return WhitelistPage

    @override
    def get_changelist_form(self, request: HttpRequest, **options: Any) -> Any:
        # The column's heading is no label for screen readers.
        named = forms.CheckboxInput(attrs={"aria-label": _("enabled")})
        return super().get_changelist_form(request, widgets={"enabled": named}, **options)

    @admin.display(description=gettext_lazy("chart"))
    def chart(self, row: Any) -> SafeString:
        """A link to the chart."""
        return chart_link(row.series_id)

    @admin.display(description=gettext_lazy("newest candle (UTC)"))
    def head(self, row: Any) -> str:
        """Open time of the newest stored candle."""
        return as_time(row.follow_status.head)

    @admin.display(description=gettext_lazy("lag"))
    def lag(self, row: Any) -> str:
        """How far the store is behind."""
        return str(row.follow_status.lag())

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: Any) -> str:
        """What the follow job is doing."""
        return str(row.follow_status.status(is_enabled=row.enabled))

    @admin.display(description=gettext_lazy("problem"))
    def problem(self, row: Any) -> str | SafeString:
        """What is wrong, how often it was tried, and when the next attempt is."""
        return problem_cell(row.follow_status.problem())

    @override
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if unchecked := getattr(form, "unchecked", ""):
            self.message_user(request, unchecked, messages.WARNING)

    @admin.action(
        description=gettext_lazy("Backfill the newest candles now"), permissions=["change"]
    )
    def backfill_now(self, request: HttpRequest, rows: QuerySet[WhitelistedSeries]) -> None:
        """Request as many of the newest candles as the start-up sync does."""
        candles = settings.SWITCHES.startup_kline_sync_target_candles
        series = [parsed for row in rows if (parsed := series_of(row.series_id)) is not None]
        requested = sum(is_supported(each) and request_newest(each, candles) for each in series)
        report_requested(self, request, requested, of=len(rows))

    @admin.action(description=gettext_lazy("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, rows: QuerySet[WhitelistedSeries]) -> None:
        """Follow the series from now on."""
        count = rows.update(enabled=True)
        text = _("%(count)d series enabled.")
        self.message_user(request, text % {"count": count})

    @admin.action(description=gettext_lazy("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, rows: QuerySet[WhitelistedSeries]) -> None:
        """Stop following the series, except while they are watched."""
        count = rows.update(enabled=False)
        text = _("%(count)d series disabled.")
        self.message_user(request, text % {"count": count})
