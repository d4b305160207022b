"""Makes the functions that a live candle is written with.

PostgreSQL keeps the plans of a function's statements for as long as a connection lasts. Planning
them anew took longer than running them, and prepared statements do not pass through pgbouncer.
"""

from django.db import migrations

# The first statement waits for another writer; the second sees what that writer committed.
LOCK = """
CREATE OR REPLACE FUNCTION lock_series_as(
    given_name text, given_id int, given_head bigint, given_epoch bigint, given_fence bigint,
    given_generation text
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(given_name, 0));
    PERFORM FROM series
    WHERE id = given_id AND head_time = given_head AND epoch = given_epoch
        AND fence = given_fence AND store_generation() = given_generation AND NOT is_derived;
    IF NOT FOUND THEN
        RAISE division_by_zero USING MESSAGE = 'the row of the series is another';
    END IF;
END
$$
"""

# For a candle beyond the head of a locked series.
APPEND = """
CREATE OR REPLACE FUNCTION append_candle(
    given_id int, given_time bigint, given_open float8, given_high float8, given_low float8,
    given_close float8, given_volume float8
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO candles (series_id, candle_time, open, high, low, close, volume) VALUES (
        given_id, given_time, given_open, given_high, given_low, given_close, given_volume
    )
    ON CONFLICT (series_id, candle_time) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low,
        close = excluded.close, volume = excluded.volume;
    UPDATE series SET head_time = given_time WHERE id = given_id;
END
$$
"""

DROP = [
    "DROP FUNCTION IF EXISTS append_candle(int, bigint, float8, float8, float8, float8, float8)",
    "DROP FUNCTION IF EXISTS lock_series_as(text, int, bigint, bigint, bigint, text)",
]


class Migration(migrations.Migration):
    dependencies = [("market", "0011_derived_marks")]

    operations = [migrations.RunSQL([LOCK, APPEND], DROP)]
