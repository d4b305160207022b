"""Parameters of single series."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("factors", "0003_dense")]

    operations = [
        migrations.CreateModel(
            name="FactorParameters",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("factor", models.TextField(verbose_name="factor")),
                ("parameters", models.JSONField(verbose_name="parameters")),
                (
                    "series",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="factor_parameters",
                        to="market.series",
                        verbose_name="series",
                    ),
                ),
            ],
            options={
                "verbose_name": "parameters of a series",
                "verbose_name_plural": "parameters of series",
                "db_table": "factor_parameters",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("series", "factor"),
                        name="factor_parameters_once",
                        violation_error_message="This series has parameters for this factor already.",
                    )
                ],
            },
        ),
    ]
