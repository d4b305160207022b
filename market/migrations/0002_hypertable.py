"""Makes `candles` a hypertable where the switch and the server say so; does nothing elsewhere.

`manage.py timescale` does the same at any later time.
"""

from django.conf import settings
from django.db import migrations

from market.stores import postgres_timescale as timescale


def enable(apps, schema_editor):
    switches = settings.SWITCHES
    connection = schema_editor.connection
    if switches.enable_timescale and timescale.status(connection).can_convert:
        timescale.enable(connection, timescale.HypertablePlan.from_switches(switches))


def disable(apps, schema_editor):
    timescale.disable(schema_editor.connection)


class Migration(migrations.Migration):
    # The extension can't be used in the transaction that creates it.
    atomic = False

    dependencies = [("market", "0001_initial")]

    operations = [migrations.RunPython(enable, disable)]
