"""The admin's form for many series at once: a check of each first, then all in one transaction."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from market.admin.pasted import MOST_CHARACTERS, MOST_ENTRIES, Entry, checked, entries_of
from market.domain.lease_store import Venue
from market.domain.series import FUTURES
from market.exchanges.ccxt_client import LOCAL, MARKETS, SPOT, known_exchanges
from market.models import WhitelistedSeries

USUAL_EXCHANGE = "binance"
MARKET_NAMES = {SPOT: gettext_lazy("spot"), FUTURES: gettext_lazy("futures")}


class PasteForm(forms.Form):
    """The pasted text, and the exchange and market of entries that name none."""

    text = forms.CharField(
        label=gettext_lazy("Series"),
        max_length=MOST_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 10, "spellcheck": "false", "autocapitalize": "off"}),
        help_text=format_lazy(
            gettext_lazy(
                "One a line, or several with commas: binance:futures:BTC/USDT:1m, or only "
                "BTC/USDT 1m. At most {most} at once."
            ),
            most=MOST_ENTRIES,
        ),
    )
    exchange = forms.ChoiceField(
        label=gettext_lazy("Exchange, where a line names none"),
        choices=lambda: [(name, name) for name in sorted(known_exchanges())],
    )
    market = forms.ChoiceField(
        label=gettext_lazy("Market, where a line names none"),
        choices=[(name, MARKET_NAMES[name]) for name in MARKETS],
    )
    enabled = forms.BooleanField(
        label=gettext_lazy("Follow them from now on"), required=False, initial=True
    )

    def clean_text(self) -> str:
        """Reject a text with too many entries, or none."""
        text: str = self.cleaned_data["text"]
        count = sum(1 for _entry in entries_of(text))
        if not count:
            raise forms.ValidationError(_("There is no series in the text."), "no_entries")
        if count > MOST_ENTRIES:
            counts = {"count": count, "most": MOST_ENTRIES}
            reason = _("%(count)d entries are too many: paste at most %(most)d at once.") % counts
            raise forms.ValidationError(reason, "too_many_entries")
        return text

    def entries(self) -> list[Entry]:
        """The entries of a valid form with their outcomes. Blocking: exchanges are asked."""
        venue = Venue(self.cleaned_data["exchange"], self.cleaned_data["market"])
        return checked(entries_of(self.cleaned_data["text"]), venue)


class PasteView:
    """The page: it shows the form, then the outcome of each entry, and saves what was shown."""

    def __init__(self, model_admin: admin.ModelAdmin[WhitelistedSeries]) -> None:
        self._admin = model_admin

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the page, or go to the whitelist after saving."""
        if not self._admin.has_add_permission(request):
            raise PermissionDenied
        form = PasteForm(request.POST or None, initial=_usual_venue())
        if not form.is_valid():
            return self._page(request, form, [])
        entries = form.entries()
        if "save" not in request.POST:
            return self._page(request, form, entries)
        series_ids = [str(entry.series) for entry in entries if entry.is_added]
        is_as_shown = sorted(series_ids) == sorted(request.POST.getlist("confirmed"))
        if is_as_shown and self._save(request, series_ids, enabled=form.cleaned_data["enabled"]):
            return redirect("admin:market_whitelistedseries_changelist")
        changed = _("Nothing is saved: the outcome has changed since the check. Look at it again.")
        messages.warning(request, changed)
        return self._page(request, form, form.entries() if is_as_shown else entries)

    def _save(self, request: HttpRequest, series_ids: list[str], *, enabled: bool) -> bool:
        """Add all or none; False when one has been added by others meanwhile."""
        user: Any = request.user
        rows = [WhitelistedSeries(series_id=each, enabled=enabled) for each in series_ids]
        for row in rows:
            # Whether it exists is known, and the database decides in the end.
            row.full_clean(validate_unique=False)
        try:
            with transaction.atomic():
                saved = WhitelistedSeries.objects.bulk_create(rows)
                LogEntry.objects.log_actions(
                    user.pk, saved, ADDITION, change_message=[{"added": {}}]
                )
        except IntegrityError:
            return False
        text = _("%(count)d series added.")
        messages.success(request, text % {"count": len(saved)})
        return True

    def _page(self, request: HttpRequest, form: PasteForm, entries: list[Entry]) -> HttpResponse:
        counts = Counter(entry.kind for entry in entries)
        context = {
            **self._admin.admin_site.each_context(request),
            "title": _("Paste many series"),
            "opts": self._admin.model._meta,
            "form": form,
            "entries": entries,
            "counts": counts,
            "added": [str(entry.series) for entry in entries if entry.is_added],
        }
        return TemplateResponse(request, "admin/market/whitelistedseries/paste.html", context)


def _usual_venue() -> dict[str, Any]:
    """The venue of most of the whitelist, as the form's first values."""
    names = WhitelistedSeries.objects.values_list("series_id", flat=True)[:1000]
    venues = Counter(tuple(name.split(":")[:2]) for name in names)
    usual = (LOCAL if settings.SWITCHES.uses_local_exchange else USUAL_EXCHANGE, FUTURES)
    exchange, market = venues.most_common(1)[0][0] if venues else usual
    return {"exchange": exchange, "market": market}
