from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("market", "0007_derived_series"),
    ]

    operations = [
        migrations.AddField(
            model_name="series",
            name="kept_from",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="series",
            name="removed_to",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
    ]
