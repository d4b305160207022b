"""Gives the database its identity: a row with a random id and generation."""

import django.utils.timezone
import market.domain.identity
from django.db import migrations, models


def create_row(apps, schema_editor):
    apps.get_model("market", "Installation").objects.get_or_create(id=1)


class Migration(migrations.Migration):
    dependencies = [("market", "0002_hypertable")]

    operations = [
        migrations.CreateModel(
            name="Installation",
            fields=[
                (
                    "id",
                    models.SmallIntegerField(
                        default=1, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "installation_id",
                    models.CharField(default=market.domain.identity.random_id, max_length=16),
                ),
                (
                    "generation",
                    models.CharField(default=market.domain.identity.random_id, max_length=16),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("generation_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "verbose_name_plural": "installation",
                "db_table": "installation",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("id", 1)), name="installation_has_one_row"
                    )
                ],
            },
        ),
        migrations.RunPython(create_row, migrations.RunPython.noop),
    ]
