"""Rules, outbox and deliveries of alerts. Numbers of the stream come from a sequence of their own."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
import factors.alerts.models
import market.domain.identity
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("factors", "0004_parameters"),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE SEQUENCE alert_stream_seq", "DROP SEQUENCE IF EXISTS alert_stream_seq"
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                (
                    "id",
                    models.CharField(
                        max_length=32, primary_key=True, serialize=False, verbose_name="id"
                    ),
                ),
                ("seq", models.BigIntegerField(null=True, unique=True)),
                ("series", models.TextField(verbose_name="series")),
                ("kind", models.TextField(verbose_name="kind")),
                ("event_key", models.TextField(verbose_name="key")),
                ("candle_time", models.BigIntegerField(verbose_name="candle")),
                ("body", models.TextField(verbose_name="body")),
                ("is_streamed", models.BooleanField()),
                ("is_public", models.BooleanField()),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="created"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("streamed", "stream only"),
                            ("pending", "waiting"),
                            ("delivered", "delivered"),
                            ("dead", "given up"),
                        ],
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("host", models.TextField(db_default="", default="")),
                (
                    "queued_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "attempts",
                    models.IntegerField(
                        db_default=0,
                        default=0,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="attempts",
                    ),
                ),
                (
                    "next_attempt_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        verbose_name="next attempt",
                    ),
                ),
                ("claimed_until", models.DateTimeField(null=True)),
                ("delivered_at", models.DateTimeField(null=True, verbose_name="delivered")),
                (
                    "last_error",
                    models.CharField(
                        db_default="", default="", max_length=200, verbose_name="last problem"
                    ),
                ),
            ],
            options={
                "verbose_name": "alert",
                "verbose_name_plural": "alerts",
                "db_table": "alerts",
                "ordering": ["-created_at", "id"],
            },
        ),
        migrations.CreateModel(
            name="AlertRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "uid",
                    models.CharField(
                        default=market.domain.identity.random_id,
                        editable=False,
                        max_length=16,
                        unique=True,
                    ),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "series",
                    models.CharField(
                        help_text="exchange:market:symbol:timeframe; * stands for any text, as in *:BTC/USDT:1h",
                        max_length=200,
                        validators=[factors.alerts.models.validate_pattern],
                        verbose_name="series",
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("factors", "facts of factors"),
                            ("price", "a price that is crossed"),
                        ],
                        default="factors",
                        max_length=10,
                        verbose_name="look for",
                    ),
                ),
                (
                    "kinds",
                    models.TextField(
                        blank=True,
                        default="",
                        validators=[factors.alerts.models.validate_kinds],
                        verbose_name="kinds",
                    ),
                ),
                ("level", models.FloatField(blank=True, null=True, verbose_name="price")),
                (
                    "direction",
                    models.CharField(
                        choices=[("up", "upwards"), ("down", "downwards"), ("both", "either way")],
                        default="both",
                        max_length=4,
                        verbose_name="direction",
                    ),
                ),
                (
                    "touch",
                    models.BooleanField(
                        default=False,
                        help_text="a candle that reaches the price counts; otherwise its close has to cross it",
                        verbose_name="by high and low",
                    ),
                ),
                (
                    "once",
                    models.BooleanField(
                        default=False,
                        help_text="one alert for each series, until armed again",
                        verbose_name="once only",
                    ),
                ),
                (
                    "cooldown_s",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="least time between the candles of two alerts of a series",
                        verbose_name="pause in seconds",
                    ),
                ),
                (
                    "webhook_url",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="each alert is posted to this address",
                        max_length=500,
                        validators=[factors.alerts.models.validate_target],
                        verbose_name="webhook",
                    ),
                ),
                ("webhook_host", models.CharField(default="", editable=False, max_length=300)),
                (
                    "secret",
                    models.CharField(
                        default=factors.alerts.models.new_secret,
                        max_length=200,
                        validators=[factors.alerts.models.validate_secret],
                        verbose_name="secret",
                    ),
                ),
                (
                    "to_stream",
                    models.BooleanField(
                        default=True,
                        help_text="alerts are events of /api/alerts/stream",
                        verbose_name="stream",
                    ),
                ),
                (
                    "is_public",
                    models.BooleanField(
                        default=False,
                        help_text="everyone who reaches this server may see them in the stream",
                        verbose_name="public",
                    ),
                ),
                ("enabled", models.BooleanField(default=True, verbose_name="enabled")),
                ("disabled_reason", models.CharField(default="", editable=False, max_length=200)),
                (
                    "active_from",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="armed"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
            ],
            options={
                "verbose_name": "alert rule",
                "verbose_name_plural": "alert rules",
                "db_table": "alert_rules",
                "ordering": ["name", "pk"],
            },
        ),
        migrations.CreateModel(
            name="AlertAttempt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.IntegerField(verbose_name="attempt")),
                ("at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="at")),
                ("duration_ms", models.IntegerField(verbose_name="milliseconds")),
                ("status", models.IntegerField(null=True, verbose_name="status")),
                ("error", models.CharField(default="", max_length=200, verbose_name="problem")),
                (
                    "alert",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="factors.alert",
                    ),
                ),
            ],
            options={
                "verbose_name": "delivery",
                "verbose_name_plural": "deliveries",
                "db_table": "alert_attempts",
                "ordering": ["pk"],
            },
        ),
        migrations.AddField(
            model_name="alert",
            name="rule",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                to="factors.alertrule",
                verbose_name="rule",
            ),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("state", "pending")),
                fields=["host", "next_attempt_at"],
                name="alerts_due",
            ),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("is_streamed", True), ("seq__isnull", True)),
                fields=["created_at"],
                name="alerts_unnumbered",
            ),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["created_at"], name="alerts_created"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["rule", "series", "candle_time"], name="alerts_of_rule"),
        ),
    ]
