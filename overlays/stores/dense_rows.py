"""The tables of the overlay ledger with rows in two forms; factors.stores.dense_rows moves them."""

from __future__ import annotations

from factors.stores.dense_rows import Table, checkpoints, unpack_all
from overlays.stores.forms import dense_version, version_texts

__all__ = ["OVERLAY_TABLES", "unpack_all"]

OVERLAY_TABLES = (
    Table(
        name="overlay_versions",
        key=("series_id", "version_id"),
        row=("instruction_id", "starts", "ends"),
        texts=("kind", "definition", "data"),
        packed=lambda rows, _: (
            dense_version(name, kind, definition, starts, ends)
            for _, _, name, starts, ends, kind, definition, _ in rows
        ),
        unpacked=lambda rows, _: (
            (*version_texts(name, kind, definition, data, starts, ends), None)
            for _, _, name, starts, ends, kind, definition, data in rows
        ),
    ),
    checkpoints("overlay_checkpoints"),
)
