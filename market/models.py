"""Tables of the market app. Candles are written by set-based SQL only (market.stores.postgres)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from typing_extensions import override

from market.domain.identity import random_id
from market.domain.series import SeriesAlias, SeriesId, SeriesIdError
from market.wording import explained

# Of why candles are missing, in characters.
REASON_LENGTH = 300


def validate_series_id(text: str) -> None:
    """Raise ValidationError unless a text is a complete series id, and the canonical one."""
    try:
        series = SeriesId.parse(text)
    except SeriesIdError as error:
        raise ValidationError(explained(error), code="invalid_series_id") from error
    if str(series) != text:
        raise ValidationError(
            _("write it as %(series)s"), code="invalid_series_id", params={"series": series}
        )
    try:
        series.require_canonical()
    except SeriesAlias as alias:
        raise ValidationError(explained(alias), code=alias.code) from alias


class Installation(models.Model):
    """The only row: which installation this database is, and which generation of its store.

    `market.domain.identity` explains the two; `market.stores.installation` reads them.
    """

    ONLY = 1

    id = models.SmallIntegerField(primary_key=True, default=ONLY, editable=False)
    installation_id = models.CharField(max_length=16, default=random_id)
    generation = models.CharField(max_length=16, default=random_id)
    created_at = models.DateTimeField(default=timezone.now)
    generation_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "installation"
        verbose_name_plural = "installation"
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="installation_has_one_row")
        ]

    def __str__(self) -> str:
        return self.installation_id


class Series(models.Model):
    """One series with its head; `fence` is the newest writer's token (market.domain.store).

    Retention removes what is before `kept_from`, and has done so up to `removed_to`. With
    `is_derived` only candles that are made of its base are stored.
    """

    id = models.AutoField(primary_key=True)
    name = models.TextField(_("series"), unique=True, validators=[validate_series_id])
    head_time = models.BigIntegerField(_("newest candle"), null=True)
    epoch = models.BigIntegerField(_("epoch"), default=0, db_default=0)
    fence = models.BigIntegerField(default=0, db_default=0)
    kept_from = models.BigIntegerField(default=0, db_default=0)
    removed_to = models.BigIntegerField(default=0, db_default=0)
    is_derived = models.BooleanField(_("derived"), default=False, db_default=False)

    class Meta:
        db_table = "series"
        verbose_name = _("stored series")
        verbose_name_plural = _("stored series")

    def __str__(self) -> str:
        return self.name


class Candle(models.Model):
    """A closed candle; open time in Unix seconds UTC. The key suits a hypertable."""

    pk = models.CompositePrimaryKey("series_id", "candle_time")
    # No constraint: a series with candles is never deleted, and checking rows slows bulk history.
    series = models.ForeignKey(Series, models.DO_NOTHING, db_constraint=False, db_index=False)
    candle_time = models.BigIntegerField()
    open = models.FloatField()
    high = models.FloatField()
    low = models.FloatField()
    close = models.FloatField()
    volume = models.FloatField()

    class Meta:
        db_table = "candles"

    def __str__(self) -> str:
        return f"{self.series_id}:{self.candle_time}"


class Revision(models.Model):
    """A change of a series' past: its readers must read again from `from_time` on."""

    pk = models.CompositePrimaryKey("series_id", "epoch")
    series = models.ForeignKey(Series, models.DO_NOTHING, db_constraint=False, db_index=False)
    epoch = models.BigIntegerField()
    from_time = models.BigIntegerField()

    class Meta:
        db_table = "revisions"

    def __str__(self) -> str:
        return f"{self.series_id} epoch {self.epoch} from {self.from_time}"


class DerivedSeries(models.Model):
    """How far a derived series has been made of its base (market.domain.derived.Progress)."""

    name = models.TextField(primary_key=True)
    since = models.BigIntegerField()
    base_head = models.BigIntegerField()
    base_epoch = models.BigIntegerField()
    # As `is_derived` of the series' row, which is not there before the first candle.
    is_held = models.BooleanField(default=False, db_default=False)

    class Meta:
        db_table = "derived_series"

    def __str__(self) -> str:
        return self.name


class IncompleteBucket(models.Model):
    """A bucket of a derived series that is over although base candles are missing in it."""

    pk = models.CompositePrimaryKey("name", "candle_time")
    name = models.TextField()
    candle_time = models.BigIntegerField()
    found = models.IntegerField()
    expected = models.IntegerField()

    class Meta:
        db_table = "incomplete_buckets"

    def __str__(self) -> str:
        return f"{self.name}:{self.candle_time} {self.found} of {self.expected}"


class WhitelistedSeries(models.Model):
    """A series that is always followed, watched or not. Admins edit these rows."""

    series_id = models.CharField(
        _("series id"),
        max_length=200,
        unique=True,
        validators=[validate_series_id],
        help_text=_("exchange:market:symbol:timeframe, for example binance:futures:BTC/USDT:1m"),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())

    class Meta:
        db_table = "whitelist"
        verbose_name = _("whitelisted series")
        verbose_name_plural = _("whitelisted series")
        ordering: ClassVar = ["series_id"]

    def __str__(self) -> str:
        return self.series_id

    @override
    def save(self, *args: Any, **kwargs: Any) -> None:
        # Scripts and shells save without full_clean.
        if self._state.adding:
            validate_series_id(self.series_id)
        super().save(*args, **kwargs)


# What `market.ingest.gap_rows.in_states` selects for UNSETTLED, as one condition.
UNSETTLED_GAPS = models.Q(state__in=["open", "repairing"]) | (
    models.Q(state="absent") & ~models.Q(missing__in=["quiet", "unserved"])
)


class GapRecord(models.Model):
    """A recorded gap in a series, and the state of its repair (market.ingest.gap_rows).

    Without a value for `next_attempt_at` the release before adds rows that are due at once.
    """

    class State(models.TextChoices):
        OPEN = "open"
        REPAIRING = "repairing"
        FILLED = "filled"
        ABSENT = "absent"

    series = models.ForeignKey(
        Series, models.CASCADE, db_constraint=False, verbose_name=_("series")
    )
    from_time = models.BigIntegerField(
        _("first missing"), help_text=_("open time of the first missing candle")
    )
    to_time = models.BigIntegerField(
        _("last missing"), help_text=_("open time of the last missing candle")
    )
    reason = models.CharField(_("reason"), max_length=REASON_LENGTH)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.OPEN)
    missing = models.CharField(max_length=10, default="", db_default="")
    refused_rows = models.IntegerField(_("refused rows"), default=0, db_default=0)
    evidence = models.JSONField(_("evidence"), null=True, default=None)
    attempts = models.IntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True, db_default=Now())
    detected_at = models.DateTimeField(_("noticed"), default=timezone.now)
    updated_at = models.DateTimeField(_("changed"), default=timezone.now)

    class Meta:
        db_table = "gaps"
        verbose_name = _("gap")
        verbose_name_plural = _("gaps")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["series", "from_time"], name="gaps_one_a_start")
        ]
        indexes: ClassVar = [
            # Of hundreds of thousands of quiet gaps none is ever due.
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="gaps_due",
            ),
            # Mostly the newest gaps of a series are looked for.
            models.Index(fields=["series", "to_time"], name="gaps_ends"),
            # Counted at every scrape of the metrics.
            models.Index(fields=["series"], condition=UNSETTLED_GAPS, name="gaps_unsettled"),
        ]

    def __str__(self) -> str:
        return f"{self.series} {self.from_time}..{self.to_time}"
