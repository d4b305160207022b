"""Makes the function that moves the factor ledger of one series, for each live candle.

It keeps the plan of its statement, as those of `market/migrations/0012_live_candle.py` do.
"""

from django.db import migrations

MOVE = """
CREATE OR REPLACE FUNCTION move_factor_ledger(
    given_id int, to_time bigint, to_epoch bigint, to_print text,
    from_time bigint, from_epoch bigint, from_print text
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE factor_state SET head_time = to_time, epoch = to_epoch, fingerprint = to_print
    WHERE series_id = given_id
        AND head_time = from_time AND epoch = from_epoch AND fingerprint = from_print;
    IF NOT FOUND THEN
        RAISE division_by_zero USING MESSAGE = 'the ledger is at another place';
    END IF;
END
$$
"""
DROP = """
DROP FUNCTION IF EXISTS move_factor_ledger(int, bigint, bigint, text, bigint, bigint, text)
"""


class Migration(migrations.Migration):
    dependencies = [("factors", "0005_alerts")]

    operations = [migrations.RunSQL([MOVE], [DROP])]
