"""Room for dense rows (factors.stores.dense), and a narrower index of drawings with an end.

The indexes are exchanged while readers and writers go on. Going back unpacks dense rows first, in
batches.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

from overlays.stores.dense_rows import OVERLAY_TABLES, unpack_all


def unpack(apps, schema_editor):
    unpack_all(OVERLAY_TABLES, schema_editor.connection)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("overlays", "0002_points")]

    operations = [
        migrations.AddField("overlayversion", "data", models.BinaryField(null=True)),
        AddIndexConcurrently(
            "overlayversion",
            models.Index(
                fields=["series", "ends"],
                name="overlay_versions_end",
                condition=models.Q(ends__isnull=False),
            ),
        ),
        RemoveIndexConcurrently("overlayversion", "overlay_versions_ends"),
        migrations.RunPython(migrations.RunPython.noop, unpack),
    ]
