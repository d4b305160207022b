"""Addresses that Django or a library would compute once, computed for each request's prefix."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import get_script_prefix
from typing_extensions import override
from whitenoise.storage import CompressedStaticFilesStorage


class PrefixedStaticFiles(CompressedStaticFilesStorage):  # type: ignore[misc]  # no annotations
    """Static files whose addresses have the prefix of the request that runs."""

    @override
    def url(self, name: str | None) -> str:
        # The library caches what STATIC_URL gives.
        return f"{get_script_prefix().removesuffix('/')}{super().url(name)}"


def name_server(
    result: dict[str, Any], generator: Any, request: HttpRequest | None, public: bool
) -> dict[str, Any]:
    """Have clients of the OpenAPI schema, and its page, ask below the prefix."""
    prefix = get_script_prefix().removesuffix("/") if request else ""
    return {**result, "servers": [{"url": prefix}]} if prefix else result
