"""A store that refuses to write."""

from __future__ import annotations

import time

from lab.drills.catalogue import drill
from lab.drills.ground import Ground
from lab.drills.posting import POSTED, posting

FULL_S = 15.0
# PostgreSQL's own answer (SQLSTATE 53100) to every write of candles.
FULL = """
CREATE FUNCTION drill_disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER drill_disk_full BEFORE INSERT ON candles
    FOR EACH STATEMENT EXECUTE FUNCTION drill_disk_full();
"""
ROOM = "DROP FUNCTION drill_disk_full CASCADE"


@drill("disk-full", "the store answers 'disk full' to every write for 15 s")
def disk_full(ground: Ground, title: str) -> None:
    """Reads go on; what could not be written is fetched from the exchange afterwards."""
    installation = ground.installation
    with ground.watched(title) as watch:
        with posting(installation) as acknowledged:
            time.sleep(1)
            watch.hit()
            installation.sql(FULL)
            time.sleep(FULL_S)
            installation.sql(ROOM)
            watch.over()
            time.sleep(1)
        stored = installation.stored(POSTED, acknowledged[0], acknowledged[-1])
        watch.expect(set(acknowledged) <= stored.keys(), "acknowledged candles are gone")
