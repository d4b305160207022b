"""Room for dense rows (factors.stores.dense), and no unique index on the keys of events.

The position that an append expects keeps a batch from being written twice already. Going back
unpacks dense rows first, in batches.
"""

from django.db import migrations, models

from factors.stores.dense_rows import FACTOR_TABLES, unpack_all


def unpack(apps, schema_editor):
    unpack_all(FACTOR_TABLES, schema_editor.connection)


class Migration(migrations.Migration):
    # Each batch of rows that is unpacked is a transaction of its own.
    atomic = False

    dependencies = [("factors", "0002_texts")]

    operations = [
        migrations.RemoveConstraint(model_name="factorevent", name="factor_events_once"),
        migrations.AddField("factorevent", "data", models.BinaryField(null=True)),
        migrations.AddField("factorhead", "data", models.BinaryField(null=True)),
        migrations.RunPython(migrations.RunPython.noop, unpack),
    ]
