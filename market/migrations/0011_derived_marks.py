from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("market", "0010_gap_evidence"),
    ]

    operations = [
        migrations.AddField(
            model_name="derivedseries",
            name="is_held",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="series",
            name="is_derived",
            field=models.BooleanField(db_default=False, default=False, verbose_name="derived"),
        ),
    ]
