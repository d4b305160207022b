"""The log on standard error, as lines for people or as JSON objects, without secrets."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from typing_extensions import override

from market import log_context

LINE, JSON = "line", "json"
HIDDEN = "***"

# uvicorn's messages about malformed requests and frames, the second with a traceback.
CLIENT_ERRORS = ("Invalid HTTP request received.", "Invalid UTF-8 sequence received from client.")

# Replacing a shorter one would garble every line, and it protects nothing anyway.
SHORTEST_SECRET = 6

# user:password@ in an address, Authorization values, and values named like secrets.
PATTERNS = (
    (re.compile(r"(://[^\s:/@]*):[^\s/@]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), rf"\1 {HIDDEN}"),
    (
        re.compile(
            r"(?i)\b(password|passwd|secret|secret_key|token|api_?key)(['\"]?\s*[=:]\s*)"
            r"(['\"]?)[^\s'\",;&]+"
        ),
        rf"\1\2\3{HIDDEN}",
    ),
)


class Redactor:
    """Replaces secrets in texts: the given ones, and whatever looks like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first: one may be part of another.
        known = sorted({each for each in secrets if len(each) >= SHORTEST_SECRET}, key=len)
        self._known = re.compile("|".join(map(re.escape, reversed(known)))) if known else None

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern, instead in PATTERNS:
            text = pattern.sub(instead, text)
        return text


class LineFormatter(logging.Formatter):
    """Lines for people, with request id and series after the message."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redact = Redactor(secrets)

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record)
        fields = log_context.as_fields().items()
        about = " ".join(f"{key}={value}" for key, value in fields if value not in text)
        return f"{text} [{about}]" if about else text

    @override
    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._redact = Redactor(secrets)

    @override
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._redact(record.getMessage()),
            "process": os.getpid(),
            "thread": record.threadName,
            **log_context.as_fields(),
        }
        if record.exc_info:
            fields["exception"] = self._redact(self.formatException(record.exc_info))
        return orjson.dumps(fields, option=orjson.OPT_NON_STR_KEYS, default=str).decode()


class DropClientErrors(logging.Filter):
    """Drops uvicorn's lines about malformed requests: clients must not be able to fill the disk."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(CLIENT_ERRORS)


class ShortenBusErrors(logging.Filter):
    """Makes one line of a task that beat could not send; Celery adds stack and traceback.

    The traceback stays unless the bus is the reason: then it has a hundred lines of libraries.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("Message Error") and record.exc_info:
            error = record.exc_info[1]
            record.msg, record.args = "%s", (str(error),)
            if _is_of_bus(error):
                record.exc_info = None
        return True


def _is_of_bus(error: BaseException | None) -> bool:
    """Whether the bus's client raised the error, or one that it came from."""
    while error is not None:
        if type(error).__module__.startswith(("redis.", "kombu.")):
            return True
        error = error.__cause__ or error.__context__
    return False


def form_of(text: str) -> str:
    """The formatter for a value of LOG_FORMAT: lines for people unless it is ``json``."""
    return JSON if text.strip().lower() == JSON else LINE


def secrets_of(*values: str | None) -> list[str]:
    """The given values, and the passwords of those that are addresses: never to be logged."""
    given = [value for value in values if value]
    return given + [password for value in given if (password := _password(value))]


def _password(value: str) -> str | None:
    try:
        return urlsplit(value).password
    except ValueError:
        return None
