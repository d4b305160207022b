"""Lets the database itself refuse impossible candles, after naming those that it has."""

from django.core.management.base import CommandError
from django.db import migrations

from market.stores import candle_checks


def add(apps, schema_editor):
    try:
        is_added = candle_checks.add_constraint(schema_editor.connection)
    except candle_checks.ImpossibleCandles as error:
        # Not a traceback: whoever migrates reads one line.
        raise CommandError(str(error)) from None
    if not is_added:
        print(
            "\n  candles: no CHECK constraint, because this TimescaleDB adds none to a compressed"
            " hypertable. After an update to 2.20 or newer: manage.py timescale enable"
        )


def drop(apps, schema_editor):
    candle_checks.drop_constraint(schema_editor.connection)


class Migration(migrations.Migration):
    # Adding and validating are transactions of their own, so that readers are not locked out.
    atomic = False

    dependencies = [("market", "0003_installation")]

    operations = [migrations.RunPython(add, drop)]
