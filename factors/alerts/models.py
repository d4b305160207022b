"""Tables of alerts: the rules that admins edit, the outbox, and attempts at delivery.

Rows of the outbox are written by SQL only (factors.alerts.outbox).
"""

from __future__ import annotations

import base64
import re
import secrets
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from typing_extensions import override

from factors.alerts.rules import MOST_RULES, Direction
from market.domain.identity import random_id

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
LONGEST_KIND = 64
KIND = re.compile(r"[a-z][a-z0-9_@-]*\.[a-z][a-z0-9_.]*")


def new_secret() -> str:
    """A secret for signatures, as Standard Webhooks writes it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def validate_pattern(text: str) -> None:
    """Raise ValidationError unless a text could match a series id."""
    if text.count(":") < 3 and "*" not in text:
        raise ValidationError(_("write exchange:market:symbol:timeframe, * for any text"))


def validate_kinds(text: str) -> None:
    """Raise ValidationError unless a text is a list of kinds, divided by commas."""
    for kind in filter(None, text.split(",")):
        if len(kind) > LONGEST_KIND or not KIND.fullmatch(kind):
            raise ValidationError(_("%(kind)s is no kind of event"), params={"kind": kind})


def validate_target(url: str) -> None:
    """Raise ValidationError unless a text is an http or https address without credentials."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ValidationError(_("write an http:// or https:// address"))
    if parts.username or parts.password:
        raise ValidationError(_("an address with a password would show it in logs"))


def validate_secret(text: str) -> None:
    """Raise ValidationError unless a text is a secret of 24 to 64 bytes."""
    try:
        size = len(base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True))
    except ValueError:
        size = 0
    if not text.startswith(SECRET_PREFIX) or not 24 <= size <= 64:
        raise ValidationError(_("write whsec_ and 24 to 64 bytes in Base64"))


class AlertRule(models.Model):
    """What to look for in which series, and who is notified. Admins edit these rows."""

    class Source(models.TextChoices):
        FACTORS = "factors", _("facts of factors")
        PRICE = "price", _("a price that is crossed")

    class Way(models.TextChoices):
        UP = Direction.UP, _("upwards")
        DOWN = Direction.DOWN, _("downwards")
        BOTH = Direction.BOTH, _("either way")

    uid = models.CharField(max_length=16, default=random_id, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=100)
    series = models.CharField(
        _("series"),
        max_length=200,
        validators=[validate_pattern],
        help_text=_("exchange:market:symbol:timeframe; * stands for any text, as in *:BTC/USDT:1h"),
    )
    source = models.CharField(_("look for"), max_length=10, choices=Source, default=Source.FACTORS)
    kinds = models.TextField(_("kinds"), blank=True, default="", validators=[validate_kinds])
    level = models.FloatField(_("price"), null=True, blank=True)
    direction = models.CharField(_("direction"), max_length=4, choices=Way, default=Way.BOTH)
    touch = models.BooleanField(
        _("by high and low"),
        default=False,
        help_text=_("a candle that reaches the price counts; otherwise its close has to cross it"),
    )
    once = models.BooleanField(
        _("once only"), default=False, help_text=_("one alert for each series, until armed again")
    )
    cooldown_s = models.PositiveIntegerField(
        _("pause in seconds"),
        default=0,
        help_text=_("least time between the candles of two alerts of a series"),
    )
    webhook_url = models.CharField(
        _("webhook"),
        max_length=500,
        blank=True,
        default="",
        validators=[validate_target],
        help_text=_("each alert is posted to this address"),
    )
    webhook_host = models.CharField(max_length=300, default="", editable=False)
    secret = models.CharField(
        _("secret"), max_length=200, default=new_secret, validators=[validate_secret]
    )
    to_stream = models.BooleanField(
        _("stream"), default=True, help_text=_("alerts are events of /api/alerts/stream")
    )
    is_public = models.BooleanField(
        _("public"),
        default=False,
        help_text=_("everyone who reaches this server may see them in the stream"),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    disabled_reason = models.CharField(max_length=200, default="", editable=False)
    active_from = models.DateTimeField(_("armed"), default=timezone.now, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "alert_rules"
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")
        ordering: ClassVar = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    @override
    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; waiting alerts are then delivered where the rule delivers now."""
        self.webhook_host = urlsplit(self.webhook_url).netloc.lower()
        super().save(*args, **kwargs)
        waiting = Alert.objects.filter(rule_id=self.pk, state=Alert.State.PENDING)
        waiting.exclude(host=self.webhook_host).update(host=self.webhook_host)

    @override
    def clean(self) -> None:
        """Raise ValidationError for a rule that looks for nothing, or notifies no one."""
        is_price = self.source == self.Source.PRICE
        if is_price and self.level is None:
            raise ValidationError({"level": _("a price is needed")})
        if not is_price and not self.kinds:
            raise ValidationError({"kinds": _("choose at least one kind")})
        if not self.webhook_url and not self.to_stream:
            raise ValidationError(_("choose a webhook, the stream, or both"))
        others = AlertRule.objects.filter(enabled=True).exclude(pk=self.pk)
        if self.enabled and others.count() >= MOST_RULES:
            raise ValidationError(
                _("%(most)d rules are enabled already"), params={"most": MOST_RULES}
            )


class Alert(models.Model):
    """One alert, in the order of `seq` for the stream, and how its delivery goes.

    A delivery under way is pending and has `claimed_until` in the future: should its worker be
    killed, another takes it then.
    """

    class State(models.TextChoices):
        STREAMED = "streamed", _("stream only")
        PENDING = "pending", _("waiting")
        DELIVERED = "delivered", _("delivered")
        DEAD = "dead", _("given up")

    id = models.CharField(_("id"), primary_key=True, max_length=32)
    seq = models.BigIntegerField(null=True, unique=True)
    rule = models.ForeignKey(
        AlertRule, models.CASCADE, db_constraint=False, db_index=False, verbose_name=_("rule")
    )
    series = models.TextField(_("series"))
    kind = models.TextField(_("kind"))
    event_key = models.TextField(_("key"))
    candle_time = models.BigIntegerField(_("candle"))
    body = models.TextField(_("body"))
    is_streamed = models.BooleanField()
    is_public = models.BooleanField()
    created_at = models.DateTimeField(_("created"), db_default=Now())
    state = models.CharField(_("state"), max_length=10, choices=State)
    host = models.TextField(default="", db_default="")
    queued_at = models.DateTimeField(db_default=Now())
    attempts = models.IntegerField(
        _("attempts"), default=0, db_default=0, validators=[MinValueValidator(0)]
    )
    next_attempt_at = models.DateTimeField(_("next attempt"), db_default=Now())
    claimed_until = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(_("delivered"), null=True)
    last_error = models.CharField(_("last problem"), max_length=200, default="", db_default="")

    class Meta:
        db_table = "alerts"
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering: ClassVar = ["-created_at", "id"]
        indexes: ClassVar = [
            models.Index(
                fields=["host", "next_attempt_at"],
                condition=models.Q(state="pending"),
                name="alerts_due",
            ),
            models.Index(
                fields=["created_at"],
                condition=models.Q(seq__isnull=True, is_streamed=True),
                name="alerts_unnumbered",
            ),
            models.Index(fields=["created_at"], name="alerts_created"),
            # For pauses.
            models.Index(fields=["rule", "series", "candle_time"], name="alerts_of_rule"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.series}"


class AlertAttempt(models.Model):
    """One attempt at delivery: `status` is that of the answer, null without one."""

    alert = models.ForeignKey(Alert, models.CASCADE, db_constraint=False, related_name="deliveries")
    number = models.IntegerField(_("attempt"))
    at = models.DateTimeField(_("at"), default=timezone.now)
    duration_ms = models.IntegerField(_("milliseconds"))
    status = models.IntegerField(_("status"), null=True)
    error = models.CharField(_("problem"), max_length=200, default="")

    class Meta:
        db_table = "alert_attempts"
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.alert_id} {self.number}"
