"""Tables of the overlay ledger. Rows are written by set-based SQL only (overlays.stores.postgres).

Definitions are JSON text: `jsonb` would change the order of fields and how numbers look. A dense
row has kind and definition packed in `data` instead (factors.stores.dense), and empty texts.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from market.models import Series


class OverlayState(models.Model):
    """Position and counters of a ledger (overlays.domain.ledger.LedgerState)."""

    series = models.OneToOneField(
        Series, models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="overlays"
    )
    head_time = models.BigIntegerField()
    epoch = models.BigIntegerField()
    fingerprint = models.TextField()
    tick_id = models.BigIntegerField()
    takebacks = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        db_table = "overlay_state"
        verbose_name = "overlay ledger"

    def __str__(self) -> str:
        return f"{self.series_id} up to {self.head_time}"


class OverlayVersion(models.Model):
    """A version of a draw instruction. Numbers come from the sequence `overlay_ids`.

    `until` is the visible time of the version that follows. `starts` and `ends` are the times that
    the drawing covers: no `ends` means to the newest candle, neither that it is withdrawn.
    """

    pk = models.CompositePrimaryKey("series_id", "version_id")
    version_id = models.BigIntegerField()
    series = models.ForeignKey(Series, models.DO_NOTHING, db_constraint=False, db_index=False)
    instruction_id = models.TextField()
    kind = models.TextField()
    visible_time = models.BigIntegerField()
    until = models.BigIntegerField()
    starts = models.BigIntegerField(null=True)
    ends = models.BigIntegerField(null=True)
    definition = models.TextField()
    data = models.BinaryField(null=True)

    class Meta:
        db_table = "overlay_versions"
        indexes: ClassVar = [
            models.Index(fields=["series", "visible_time"], name="overlay_versions_visible"),
            # Drawings with an end.
            models.Index(
                fields=["series", "ends"],
                name="overlay_versions_end",
                condition=models.Q(ends__isnull=False),
            ),
            # The migration makes two more, which a model can't express.
        ]

    def __str__(self) -> str:
        return f"{self.version_id} {self.instruction_id}"


class OverlayPoint(models.Model):
    """A point of a line, at the candle with which it became visible; numbered as versions are.

    Its row is small: a line that moves with each candle stores one of them with each.
    """

    pk = models.CompositePrimaryKey("series_id", "version_id")
    version_id = models.BigIntegerField()
    series = models.ForeignKey(Series, models.DO_NOTHING, db_constraint=False, db_index=False)
    visible_time = models.BigIntegerField()
    value = models.FloatField()
    instruction_id = models.TextField()

    class Meta:
        db_table = "overlay_points"
        indexes: ClassVar = [
            models.Index(fields=["series", "visible_time"], name="overlay_points_visible"),
        ]

    def __str__(self) -> str:
        return f"{self.version_id} {self.instruction_id}"


class OverlayCheckpoint(models.Model):
    """A saved state of the overlay engine after the `candle_count`-th candle drawn of a series."""

    pk = models.CompositePrimaryKey("series_id", "candle_time")
    series = models.ForeignKey(Series, models.DO_NOTHING, db_constraint=False, db_index=False)
    candle_time = models.BigIntegerField()
    candle_count = models.BigIntegerField()
    data = models.BinaryField()

    class Meta:
        db_table = "overlay_checkpoints"

    def __str__(self) -> str:
        return f"{self.series_id} {self.candle_time}"
