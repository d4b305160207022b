"""Reads the identity of the database: its only row of the table `installation`."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, connections

from market.domain.identity import Identity, random_id

READ = "SELECT installation_id, generation FROM installation"
# A migration made the row. If somebody emptied the table, the first reader makes another.
CREATE = """
INSERT INTO installation (id, installation_id, generation, created_at, generation_at)
VALUES (1, %s, %s, now(), now()) ON CONFLICT DO NOTHING
"""


RENEW = "UPDATE installation SET generation = %s, generation_at = now()"


def renew_generation() -> None:
    """Begin a new generation of the store: what was read or cached before counts no more.

    Blocking. Raises django.db.DatabaseError.
    """
    read_identity()
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(RENEW, [random_id()])


def read_identity() -> Identity:
    """Return the identity that the database holds now.

    Blocking. Raises django.db.DatabaseError: the database is away, or its table is missing.
    """
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(READ)
        row = cursor.fetchone()
        if row is None:
            new = Identity.random()
            cursor.execute(CREATE, [new.installation_id, new.generation])
            cursor.execute(READ)
            row = cursor.fetchone()
    return Identity(*row)
