"""The admin of the parameters of single series."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from typing_extensions import override

from factors import runtime
from factors.domain.parameters import ParameterError, with_values
from factors.models import FactorParameters
from factors.series_parameters import change_parameters
from factors.tasks import request_rebuild
from market.domain.series import SeriesId


def adjustable() -> dict[str, Any]:
    """The usual parameters of each factor that has some, by its name."""
    usual = runtime.engine().parameters
    return {name: values for name, values in usual.items() if values is not None}


def choices() -> list[tuple[str, str]]:
    """The factors that have parameters, as a form offers them."""
    labels = {spec.name: spec.label for spec in runtime.engine().factors}
    return [(name, f"{labels[name]} ({name})") for name in adjustable()]


def usual_values() -> SafeString:
    """The usual parameters of all factors, a line each."""
    rows = (
        (name, ", ".join(f"{key} {value}" for key, value in asdict(values).items()))
        for name, values in adjustable().items()
    )
    return format_html_join("", "<br>{}: {}", rows)


class ParametersForm(forms.ModelForm):  # type: ignore[type-arg]
    """Checks parameters by the factor's own rules."""

    class Meta:
        model = FactorParameters
        fields: ClassVar = ["series", "factor", "parameters"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "factor" in self.fields:
            self.fields["factor"] = forms.ChoiceField(label=gettext_lazy("factor"), choices=choices)
        text = _("As JSON, only those that differ from the usual ones. The usual ones:")
        self.fields["parameters"].help_text = text + usual_values()

    def clean(self) -> dict[str, Any]:
        """Reject parameters that the factor does not accept."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        factor = cleaned.get("factor", self.instance.factor)
        values = cleaned.get("parameters")
        if values is None:
            return cleaned
        if not isinstance(values, dict) or not values:
            self.add_error("parameters", _("A JSON object with at least one parameter is needed."))
        elif factor not in adjustable():
            self.add_error(None, _("The factor %(name)s is not loaded.") % {"name": factor})
        else:
            try:
                with_values(adjustable()[factor], values)
            except ParameterError as error:
                self.add_error("parameters", str(error))
        return cleaned


@admin.register(FactorParameters)
class FactorParametersAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Parameters of single series; each change has the series computed again."""

    form = ParametersForm
    list_display = ("series", "factor", "parameters")
    list_filter = ("factor",)
    list_select_related = ("series",)
    search_fields = ("series__name", "factor")
    ordering = ("series__name", "factor")
    autocomplete_fields = ("series",)

    @override
    def get_readonly_fields(
        self, request: HttpRequest, obj: FactorParameters | None = None
    ) -> tuple[str, ...]:
        """Another series or factor is another entry."""
        return () if obj is None else ("series", "factor")

    @override
    def save_model(
        self, request: HttpRequest, obj: FactorParameters, form: Any, change: bool
    ) -> None:
        self._change(request, obj, partial(super().save_model, request, obj, form, change))

    @override
    def delete_model(self, request: HttpRequest, obj: FactorParameters) -> None:
        self._change(request, obj, partial(super().delete_model, request, obj))

    @override
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[FactorParameters]) -> None:
        for row in queryset.select_related("series"):
            self.delete_model(request, row)

    def _change(self, request: HttpRequest, row: FactorParameters, write: Any) -> None:
        """Write a change, and request that the series is computed again."""
        series = SeriesId.parse(row.series.name)
        if not change_parameters(series, write):
            return
        if not settings.SWITCHES.enable_factor_fingerprint_rebuild:
            text = _("Automatic rebuilds are off: run manage.py rebuild %(series)s.")
            self.message_user(request, text % {"series": series}, messages.WARNING)
            return
        # What is not delivered is made up for by the next candle.
        transaction.on_commit(partial(request_rebuild, series))
        text = _("%(series)s is computed again with these parameters.")
        self.message_user(request, text % {"series": series})
