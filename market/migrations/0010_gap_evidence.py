"""Why candles are missing, what shows it, and when the exchange is asked again.

The release before goes on meanwhile: every column that it does not know has a default in the
database. What it called absent had no evidence, so it is unanswered: the exchange is asked again,
spread over a day.
"""

import django.utils.timezone
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Now

BATCH = 5_000
# Repaired gaps are never due. Those whose attempts were used up get new ones.
PLAN = """
UPDATE gaps SET
    next_attempt_at = CASE WHEN state = 'filled' THEN NULL ELSE now() + random() * interval '1 day' END,
    attempts = CASE WHEN state = 'filled' THEN attempts ELSE 0 END
WHERE id > %s AND id <= %s
    AND (state IN ('filled', 'absent') OR state = 'open' AND attempts >= 5) AND missing = ''
"""
SHORTEN = "UPDATE gaps SET reason = left(reason, 40) WHERE length(reason) > 40"


def plan(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM gaps")
        first, last = cursor.fetchone()
        for start in range(first - 1, last, BATCH):
            cursor.execute(PLAN, [start, start + BATCH])


class Migration(migrations.Migration):
    # Batches and the index are transactions of their own, so that nothing is locked for long.
    atomic = False

    dependencies = [("market", "0009_canonical_whitelist")]

    operations = [
        migrations.AlterField(
            "gaprecord", "reason", models.CharField(max_length=300, verbose_name="reason")
        ),
        migrations.RunSQL(migrations.RunSQL.noop, SHORTEN),
        migrations.AlterField(
            "gaprecord",
            "state",
            models.CharField(
                choices=[
                    ("open", "Open"),
                    ("repairing", "Repairing"),
                    ("filled", "Filled"),
                    ("absent", "Absent"),
                ],
                default="open",
                max_length=10,
                verbose_name="state",
            ),
        ),
        migrations.AlterField(
            "gaprecord",
            "detected_at",
            models.DateTimeField(default=django.utils.timezone.now, verbose_name="noticed"),
        ),
        migrations.AlterField(
            "gaprecord",
            "updated_at",
            models.DateTimeField(default=django.utils.timezone.now, verbose_name="changed"),
        ),
        migrations.AddField(
            "gaprecord", "missing", models.CharField(db_default="", default="", max_length=10)
        ),
        migrations.AddField(
            "gaprecord",
            "refused_rows",
            models.IntegerField(db_default=0, default=0, verbose_name="refused rows"),
        ),
        migrations.AddField(
            "gaprecord",
            "evidence",
            models.JSONField(default=None, null=True, verbose_name="evidence"),
        ),
        migrations.AddField(
            "gaprecord",
            "next_attempt_at",
            models.DateTimeField(db_default=Now(), null=True, verbose_name="next attempt"),
        ),
        migrations.RunPython(plan, migrations.RunPython.noop),
        AddIndexConcurrently(
            "gaprecord",
            models.Index(
                condition=models.Q(next_attempt_at__isnull=False),
                fields=["next_attempt_at"],
                name="gaps_due",
            ),
        ),
        AddIndexConcurrently(
            "gaprecord", models.Index(fields=["series", "to_time"], name="gaps_ends")
        ),
        AddIndexConcurrently(
            "gaprecord",
            models.Index(
                condition=models.Q(
                    ("state__in", ["open", "repairing"]),
                    models.Q(
                        ("state", "absent"),
                        models.Q(("missing__in", ["quiet", "unserved"]), _negated=True),
                    ),
                    _connector="OR",
                ),
                fields=["series"],
                name="gaps_unsettled",
            ),
        ),
    ]
