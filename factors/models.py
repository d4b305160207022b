"""Tables of the factor ledger, written by set-based SQL only (factors.stores.postgres_writer).

Payloads and heads are JSON text: `jsonb` would change the order of fields and how numbers look. A
dense row has them packed in `data` instead (factors.stores.dense), and empty texts.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from factors.alerts.models import Alert, AlertAttempt, AlertRule
from market.models import Series

__all__ = [
    "Alert",
    "AlertAttempt",
    "AlertRule",
    "FactorCheckpoint",
    "FactorEvent",
    "FactorHead",
    "FactorState",
]


class FactorState(models.Model):
    """How far the ledger of a series is: newest candle, epoch of its candles, fingerprint."""

    series = models.OneToOneField(
        Series,
        models.DO_NOTHING,
        primary_key=True,
        db_constraint=False,
        related_name="factors",
        verbose_name=_("series"),
    )
    head_time = models.BigIntegerField(_("newest candle"))
    epoch = models.BigIntegerField(_("epoch"))
    fingerprint = models.TextField(_("fingerprint"))

    class Meta:
        db_table = "factor_state"
        verbose_name = _("factor ledger")
        verbose_name_plural = _("factor ledgers")

    def __str__(self) -> str:
        return str(self.series)


class FactorParameters(models.Model):
    """The parameters of a factor for one series that differ from the usual ones."""

    # Without a constraint as in the other tables: series are removed by SQL.
    series = models.ForeignKey(
        Series,
        models.DO_NOTHING,
        db_constraint=False,
        related_name="factor_parameters",
        verbose_name=_("series"),
    )
    factor = models.TextField(_("factor"))
    parameters = models.JSONField(_("parameters"))

    class Meta:
        db_table = "factor_parameters"
        verbose_name = _("parameters of a series")
        verbose_name_plural = _("parameters of series")
        constraints = (
            models.UniqueConstraint(
                fields=["series", "factor"],
                name="factor_parameters_once",
                violation_error_message=_("This series has parameters for this factor already."),
            ),
        )

    def __str__(self) -> str:
        return f"{self.series} {self.factor}"


class FactorEvent(models.Model):
    """A fact that became visible with the candle at `candle_time`; `id` grows."""

    pk = models.CompositePrimaryKey("series_id", "candle_time", "id")
    id = models.BigIntegerField()
    series = models.ForeignKey(Series, models.DO_NOTHING, db_constraint=False, db_index=False)
    candle_time = models.BigIntegerField()
    factor_name = models.TextField()
    kind = models.TextField()
    event_key = models.TextField()
    payload = models.TextField()
    data = models.BinaryField(null=True)

    class Meta:
        db_table = "factor_events"

    def __str__(self) -> str:
        return f"{self.series_id} {self.kind} {self.event_key}"


class FactorHead(models.Model):
    """A factor's head from the candle at `candle_time` on.

    `head` is null when the factor's last event of that candle carries the same fields.
    """

    pk = models.CompositePrimaryKey("series_id", "factor_name", "candle_time", "seq")
    series = models.ForeignKey(Series, models.DO_NOTHING, db_constraint=False, db_index=False)
    factor_name = models.TextField()
    candle_time = models.BigIntegerField()
    seq = models.IntegerField(default=0, db_default=0)
    head = models.TextField(null=True)  # noqa: DJ001  Null is not an empty text here.
    data = models.BinaryField(null=True)

    class Meta:
        db_table = "factor_heads"

    def __str__(self) -> str:
        return f"{self.series_id} {self.factor_name} {self.candle_time}"


class FactorCheckpoint(models.Model):
    """An engine state after the `candle_count`-th candle of a series."""

    pk = models.CompositePrimaryKey("series_id", "candle_time")
    series = models.ForeignKey(Series, models.DO_NOTHING, db_constraint=False, db_index=False)
    candle_time = models.BigIntegerField()
    candle_count = models.BigIntegerField()
    data = models.BinaryField()

    class Meta:
        db_table = "factor_checkpoints"

    def __str__(self) -> str:
        return f"{self.series_id} {self.candle_time}"
