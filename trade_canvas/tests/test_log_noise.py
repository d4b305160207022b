"""What strangers can't have us write."""

from __future__ import annotations

import logging

import pytest


@pytest.mark.parametrize(
    ("name", "message", "is_kept"),
    [
        ("uvicorn.error", "Invalid HTTP request received.", False),
        ("uvicorn.error", "Invalid UTF-8 sequence received from client.", False),
        ("uvicorn.error", "Exception in ASGI application\n", True),
        ("django.request", "Not Found: /wp-admin", False),
        ("django.security.DisallowedHost", "Invalid HTTP_HOST header: 'x'", False),
    ],
)
def test_line_is_kept_unless_strangers_cause_it(name, message, is_kept, caplog):
    with caplog.at_level(logging.NOTSET, logger=""):
        logging.getLogger(name).warning(message)
    assert (message in caplog.messages) == is_kept
