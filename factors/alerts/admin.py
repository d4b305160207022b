"""The admin of alerts: the rules, and every alert with its deliveries."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from typing_extensions import override

from factors import runtime
from factors.alerts import outbox
from factors.alerts.models import Alert, AlertAttempt, AlertRule, new_secret, validate_kinds
from factors.alerts.rules import KINDS
from factors.events import is_known
from market.admin import ReadOnlyAdmin
from market.admin.cells import chart_link
from market.domain.series import SeriesId, SeriesIdError
from market.installation.words import NOTHING, as_time


class OnlyIfEnabled:
    """Hides pages while alerts are switched off."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the pages are in the index."""
        allowed: bool = super().has_module_permission(request)  # type: ignore[misc]
        return allowed and settings.SWITCHES.enable_alerts

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the pages are served."""
        allowed: bool = super().has_view_permission(request, obj)  # type: ignore[misc]
        return allowed and settings.SWITCHES.enable_alerts

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether rows may be changed."""
        allowed: bool = super().has_change_permission(request, obj)  # type: ignore[misc]
        return allowed and settings.SWITCHES.enable_alerts

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whether rows may be added."""
        allowed: bool = super().has_add_permission(request)  # type: ignore[misc]
        return allowed and settings.SWITCHES.enable_alerts


def declared_kinds() -> list[str]:
    """The kinds of this installation's factors, those that are derived included."""
    declared = [kind for factor in runtime.engine().factors for kind in factor.kinds]
    return [*KINDS, *(kind for kind in declared if kind not in KINDS)]


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A rule, with the kinds that factors declare as boxes."""

    known = forms.MultipleChoiceField(
        label=capfirst(gettext_lazy("kinds")),
        required=False,
        choices=lambda: [(kind, kind) for kind in declared_kinds()],
        widget=forms.CheckboxSelectMultiple,
    )
    others = forms.CharField(
        label=capfirst(gettext_lazy("other kinds")),
        required=False,
        help_text=gettext_lazy(
            "of factors that declare none, as their events name them; divided by commas"
        ),
    )

    class Meta:
        model = AlertRule
        exclude: ClassVar = ["kinds"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds, declared = self.instance.kinds.split(","), declared_kinds()
        self.fields["known"].initial = [kind for kind in kinds if kind in declared]
        self.fields["others"].initial = ", ".join(kind for kind in kinds if kind not in declared)

    def clean_others(self) -> str:
        """The other kinds without spaces."""
        text = ",".join(filter(None, map(str.strip, self.cleaned_data["others"].split(","))))
        validate_kinds(text)
        for kind in filter(None, text.split(",")):
            # One that no factor reports would never make an alert.
            if not is_known(kind):
                raise forms.ValidationError(
                    _("%(kind)s is no kind of event"), params={"kind": kind}
                )
        return text

    def _post_clean(self) -> None:
        """Give the model its kinds before it checks itself."""
        chosen = [*self.cleaned_data.get("known", ()), self.cleaned_data.get("others", "")]
        self.instance.kinds = ",".join(filter(None, chosen))
        super()._post_clean()  # type: ignore[misc]

    @override
    def add_error(self, field: Any, error: Any) -> None:
        if (
            field is None
            and isinstance(error, forms.ValidationError)
            and hasattr(error, "error_dict")
        ):
            # The model names its field; the form has boxes instead.
            found = error.error_dict
            error = forms.ValidationError(
                {("known" if name == "kinds" else name): each for name, each in found.items()}
            )
        super().add_error(field, error)


@admin.register(AlertRule)
class AlertRuleAdmin(OnlyIfEnabled, admin.ModelAdmin):  # type: ignore[type-arg]
    """The rules."""

    form = RuleForm
    list_display = ("name", "series", "wanted", "targets", "standing")
    list_filter = ("enabled", "source")
    list_per_page = 50
    search_fields = ("name", "series", "webhook_url")
    readonly_fields = ("standing", "active_from")
    actions = ("enable", "disable", "arm", "renew_secret")
    fieldsets: ClassVar = [
        (None, {"fields": ("name", "enabled", "series", "source", "standing", "active_from")}),
        (gettext_lazy("facts of factors"), {"fields": ("known", "others")}),
        (gettext_lazy("a price that is crossed"), {"fields": ("level", "direction", "touch")}),
        (gettext_lazy("how often"), {"fields": ("once", "cooldown_s")}),
        (
            gettext_lazy("where to"),
            {"fields": ("webhook_url", "secret", "to_stream", "is_public")},
        ),
    ]

    @admin.display(description=gettext_lazy("look for"))
    def wanted(self, row: AlertRule) -> str:
        """The kinds, or the price."""
        if row.source == AlertRule.Source.PRICE:
            return f"{row.level:g} {row.get_direction_display()}"
        return row.kinds.replace(",", ", ")

    @admin.display(description=gettext_lazy("where to"))
    def targets(self, row: AlertRule) -> str:
        """The host of the webhook, and the stream."""
        streamed = (_("public stream") if row.is_public else _("stream")) if row.to_stream else ""
        return ", ".join(filter(None, [row.webhook_host, streamed]))

    @admin.display(description=gettext_lazy("state"))
    def standing(self, row: AlertRule) -> str | SafeString:
        """Whether it is enabled, and if not, why."""
        if row.enabled:
            return _("enabled")
        if not row.disabled_reason:
            return _("disabled")
        return format_html('<div class="problem">{}: {}</div>', _("disabled"), row.disabled_reason)

    @override
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if "enabled" in form.changed_data:
            obj.disabled_reason = ""
            if change and obj.enabled:
                obj.active_from = timezone.now()
        super().save_model(request, obj, form, change)

    @admin.action(description=gettext_lazy("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, rows: QuerySet[AlertRule]) -> None:
        """Have rules count, for candles from now on."""
        now = timezone.now()
        count = rows.filter(enabled=False).update(enabled=True, disabled_reason="", active_from=now)
        self.message_user(request, _("%(count)d rules enabled.") % {"count": count})

    @admin.action(description=gettext_lazy("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, rows: QuerySet[AlertRule]) -> None:
        """Have rules make no more alerts; what waits is not delivered meanwhile."""
        count = rows.filter(enabled=True).update(enabled=False, disabled_reason="")
        self.message_user(request, _("%(count)d rules disabled.") % {"count": count})

    @admin.action(description=gettext_lazy("Arm again"), permissions=["change"])
    def arm(self, request: HttpRequest, rows: QuerySet[AlertRule]) -> None:
        """Let rules that fire once fire once more."""
        count = rows.update(active_from=timezone.now())
        self.message_user(request, _("%(count)d rules armed.") % {"count": count})

    @admin.action(description=gettext_lazy("Renew the secret"), permissions=["change"])
    def renew_secret(self, request: HttpRequest, rows: QuerySet[AlertRule]) -> None:
        """Sign with a new secret from now on."""
        for row in rows:
            row.secret = new_secret()
            row.save(update_fields=["secret", "webhook_host"])
        text = _("%(count)d secrets renewed: receivers need the new ones.")
        self.message_user(request, text % {"count": len(rows)}, messages.WARNING)


class AttemptsInline(admin.TabularInline):  # type: ignore[type-arg]
    """The deliveries of an alert."""

    model = AlertAttempt
    fields = readonly_fields = ("number", "at", "duration_ms", "status", "error")
    extra = 0
    can_delete = False
    verbose_name_plural = gettext_lazy("deliveries")

    @override
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @override
    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True


@admin.register(Alert)
class AlertAdmin(OnlyIfEnabled, ReadOnlyAdmin):
    """Every alert, the newest first."""

    list_display = ("series", "chart", "kind", "candle", "rule", "delivery", "problem")
    list_filter = ("state", "kind", "rule")
    list_select_related = ("rule",)
    search_fields = ("series", "id", "event_key")
    show_full_result_count = False
    actions = ("send_again",)
    inlines: ClassVar = [AttemptsInline]
    fields = (
        "id",
        "rule",
        "series",
        "chart",
        "kind",
        "event_key",
        "candle",
        "created_at",
        "delivery",
        "next_attempt",
        "delivered_at",
        "problem",
        "body",
    )
    readonly_fields = fields

    @admin.display(description=gettext_lazy("chart"))
    def chart(self, row: Alert) -> SafeString | str:
        """A link to the chart."""
        try:
            SeriesId.parse(row.series)
        except SeriesIdError:
            return NOTHING
        return chart_link(row.series)

    @admin.display(description=gettext_lazy("candle (UTC)"), ordering="candle_time")
    def candle(self, row: Alert) -> str:
        """Open time of the candle."""
        return as_time(row.candle_time)

    @admin.display(description=gettext_lazy("delivery"), ordering="state")
    def delivery(self, row: Alert) -> str:
        """The state, and after how many attempts."""
        state = row.get_state_display()
        return f"{state} ({row.attempts})" if row.attempts else str(state)

    @admin.display(description=gettext_lazy("next attempt"))
    def next_attempt(self, row: Alert) -> str:
        """When the next attempt is."""
        if row.state != Alert.State.PENDING:
            return NOTHING
        return as_time(int(row.next_attempt_at.timestamp()))

    @admin.display(description=gettext_lazy("problem"))
    def problem(self, row: Alert) -> str | SafeString:
        """Why the last attempt failed."""
        if not row.last_error:
            return NOTHING
        return format_html('<div class="problem">{}</div>', row.last_error)

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Whether the user may have alerts sent: those who may change them."""
        user: Any = request.user
        return bool(user.has_perm("factors.change_alert"))

    @admin.action(description=gettext_lazy("Send again"), permissions=["send"])
    def send_again(self, request: HttpRequest, rows: QuerySet[Alert]) -> None:
        """Post alerts once more, with the same ids; those of rules without webhook are left out."""
        count = outbox.send_again(rows.values_list("pk", flat=True))
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, _("%(count)d alerts are sent again.") % {"count": count}, level)
