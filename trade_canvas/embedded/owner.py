"""Which process owns a DATA_DIR: a file lock, released by the system when that process ends."""

from __future__ import annotations

import os
from pathlib import Path

from market.files import try_lock

_locks: dict[Path, int] = {}
"""The descriptors of locked files."""


def take_ownership(data_dir: Path) -> bool:
    """Make this process the owner of `data_dir` until it ends; return False if another one is."""
    if data_dir in _locks:
        return True
    path = _lock_file(data_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Kept open: closing it releases the lock.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    if not try_lock(descriptor):
        os.close(descriptor)
        return False
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    _locks[data_dir] = descriptor
    return True


def owner_pid(data_dir: Path) -> str:
    """Return the process id of the last owner of `data_dir`, for messages."""
    return _lock_file(data_dir).read_text(errors="replace").strip("\0") or "unknown"


def _lock_file(data_dir: Path) -> Path:
    return data_dir / "run" / "owner.lock"
