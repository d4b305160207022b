"""Keeps lines out of the log that any stranger can have us write, as many as they like."""

from __future__ import annotations

import logging

# uvicorn says these of every broken request and message, the second with a traceback.
OF_STRANGERS = ("Invalid HTTP request received.", "Invalid UTF-8 sequence received from client.")


class NotOfStrangers(logging.Filter):
    """Drops lines about broken requests: whoever sends those must not fill the disk."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to keep a record."""
        return not str(record.msg).startswith(OF_STRANGERS)
