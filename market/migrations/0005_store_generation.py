"""Makes the function `store_generation()`: a text that changes when the store's past may have."""

from django.db import migrations

# The timeline is that of the server's write-ahead log. Every promotion of a standby and every
# recovery to a point in time begins another one. A service that hides its log leaves it out.
# A restore that makes the tables anew gives `installation` another OID. The row's own text is
# renewed by `manage.py new_generation`.
CREATE = """
CREATE OR REPLACE FUNCTION store_generation() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    timeline text;
BEGIN
    BEGIN
        timeline := CASE WHEN pg_is_in_recovery() THEN 'standby'
            ELSE ltrim(left(pg_walfile_name(pg_current_wal_lsn()), 8), '0') END;
    EXCEPTION WHEN OTHERS THEN
        timeline := 'hidden';
    END;
    RETURN timeline || '.' || coalesce(
        (SELECT tableoid::text || '.' || generation FROM installation), 'restoring'
    );
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("market", "0004_possible_candles")]

    operations = [migrations.RunSQL([CREATE], ["DROP FUNCTION IF EXISTS store_generation()"])]
