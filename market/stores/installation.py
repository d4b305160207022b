"""The identity of the database: the only row of its table `installation`."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from market.domain.identity import Identity, random_id

READ = "SELECT installation_id, generation FROM installation"
# A migration made the row. If somebody emptied the table, the first reader makes another.
CREATE = """
INSERT INTO installation (id, installation_id, generation, created_at, generation_at)
VALUES (1, %s, %s, now(), now()) ON CONFLICT DO NOTHING
"""
RENAME = "UPDATE installation SET installation_id = %s"
DATABASE_OID = "SELECT oid FROM pg_database WHERE datname = current_database()"
SERVER = "SELECT system_identifier FROM pg_control_system()"
RENEW = "UPDATE installation SET generation = %s, generation_at = now()"


def renew_generation() -> None:
    """Begin a new generation of the store: what was read or cached before counts no more.

    Blocking. Raises django.db.DatabaseError.
    """
    read_identity()
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(RENEW, [random_id()])


def read_identity(connection: BaseDatabaseWrapper | None = None) -> Identity:
    """Return the identity that the database holds now.

    Blocking. Raises django.db.DatabaseError: the database is away, or its table is missing.
    """
    with (connection or connections[DEFAULT_DB_ALIAS]).cursor() as cursor:
        cursor.execute(READ)
        row = cursor.fetchone()
        if row is None:
            new = Identity.random()
            cursor.execute(CREATE, [new.installation_id, new.generation])
            cursor.execute(READ)
            row = cursor.fetchone()
    return Identity(*row)


def read_fingerprint(connection: BaseDatabaseWrapper) -> str:
    """Return what tells this database from a copy of it: ids of its server and of itself.

    A promoted standby keeps both. A restored dump, a clone and an upgraded server have others.
    """
    with connection.cursor() as cursor:
        cursor.execute(DATABASE_OID)
        (oid,) = cursor.fetchone()
    try:
        with connection.cursor() as cursor:
            cursor.execute(SERVER)
            (server,) = cursor.fetchone()
    except DatabaseError:
        # Some hosted servers do not let ordinary roles call the function.
        server = "unknown"
    return f"{server}/{oid}"


def give_new_id() -> str:
    """Store a new installation id and return it. Raises django.db.DatabaseError."""
    read_identity()
    new = random_id()
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(RENAME, [new])
    return new
