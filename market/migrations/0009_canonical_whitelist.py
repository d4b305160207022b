"""Rows of the whitelist get the canonical id of their series: `1h` for `60m`."""

from django.db import migrations

from market.domain.series import SeriesId, SeriesIdError


def rename(apps, schema_editor):
    rows = apps.get_model("market", "WhitelistedSeries").objects.using(
        schema_editor.connection.alias
    )
    for row in rows.order_by("pk"):
        try:
            canonical = str(SeriesId.parse(row.series_id).canonical())
        except SeriesIdError:
            continue
        if canonical == row.series_id:
            continue
        same = rows.filter(series_id=canonical)
        if not same.exists():
            rows.filter(pk=row.pk).update(series_id=canonical)
            continue
        if row.enabled:
            same.update(enabled=True)
        row.delete()


class Migration(migrations.Migration):
    dependencies = [("market", "0008_retention")]

    operations = [migrations.RunPython(rename, migrations.RunPython.noop, elidable=True)]
