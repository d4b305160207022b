"""The log on standard error: lines for people, or one JSON object a line; secrets in neither."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from market import log_context

LINE, JSON = "line", "json"
HIDDEN = "***"

# A shorter one would hide half of every line, and protects nothing anyway.
SHORTEST_SECRET = 6

# user:password@ of an address, what comes with Authorization, and values named as secrets.
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
    """Takes secrets out of texts: those it is told, and what looks like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one may be part of another.
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
    """Lines for people, with request and series behind the text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redact = Redactor(secrets)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        text = super().formatMessage(record)
        fields = log_context.as_fields().items()
        about = " ".join(f"{key}={value}" for key, value in fields if value not in text)
        return f"{text} [{about}]" if about else text

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return self._redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._redact = Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        time = datetime.fromtimestamp(record.created, UTC)
        told: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._redact(record.getMessage()),
            "process": os.getpid(),
            "thread": record.threadName,
            **log_context.as_fields(),
        }
        if record.exc_info:
            told["exception"] = self._redact(self.formatException(record.exc_info))
        return orjson.dumps(told, option=orjson.OPT_NON_STR_KEYS, default=str).decode()


def form_of(text: str) -> str:
    """The formatter that LOG_FORMAT names; lines for people unless it is ``json``."""
    return JSON if text.strip().lower() == JSON else LINE


def secrets_of(*values: str | None) -> list[str]:
    """What must not be logged: the given values, and the passwords of those that are addresses."""
    given = [value for value in values if value]
    return given + [password for value in given if (password := _password(value))]


def _password(value: str) -> str | None:
    try:
        return urlsplit(value).password
    except ValueError:
        return None
