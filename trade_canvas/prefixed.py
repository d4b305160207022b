"""Addresses that Django or a library would compute once, computed for each request's prefix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.http import HttpRequest
from django.urls import get_script_prefix
from typing_extensions import override
from whitenoise.compress import Compressor
from whitenoise.storage import CompressedStaticFilesStorage

from market.files import whole_file


class WholeCompressor(Compressor):  # type: ignore[misc]  # no annotations
    """Compresses files that web processes may be sending: none is written over."""

    @override
    def write_data(self, path: str, data: bytes, suffix: str, stat_result: os.stat_result) -> str:
        """Write a compressed file, with the time of its original, unless it is there already."""
        target = Path(path + suffix)
        same = (stat_result.st_mtime, len(data))
        if not target.exists() or (target.stat().st_mtime, target.stat().st_size) != same:
            with whole_file(target) as draft:
                draft.write_bytes(data)
                os.utime(draft, (stat_result.st_atime, stat_result.st_mtime))
        return str(target)


class PrefixedStaticFiles(CompressedStaticFilesStorage):  # type: ignore[misc]  # no annotations
    """Static files whose addresses have the prefix of the request that runs."""

    @override
    def create_compressor(self, **options: Any) -> Compressor:
        return WholeCompressor(**options)

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
