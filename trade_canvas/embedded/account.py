"""The account that an embedded server runs as, and folders that this account can reach.

PostgreSQL refuses to run as root. Under root the servers run as an unprivileged system account;
files that it could not reach go to another place. Permissions of existing directories are never
changed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

ACCOUNTS = ("postgres", "nobody")
STATE_PLACES = (Path("/var/lib/trade_canvas"), Path("/var/tmp/trade_canvas"))


@dataclass(frozen=True, slots=True)
class Account:
    """An account for a server: numeric user and group, or None for that of this process."""

    user: int | None
    group: int | None

    def own(self, path: Path) -> None:
        """Make the account the owner of `path`."""
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)


def server_account() -> Account:
    """Return the account that servers run as; raise LookupError when root finds none."""
    if os.geteuid() != 0:
        return Account(None, None)
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise LookupError(f"started as root, and none of the accounts {ACCOUNTS} exists")


def can_reach(account: Account, path: Path) -> bool:
    """Return whether the account may pass through every directory above `path`."""
    if account.user is None:
        return True
    for parent in path.resolve().parents:
        facts = parent.stat()
        needed = stat.S_IXOTH
        if facts.st_uid == account.user:
            needed = stat.S_IXUSR
        elif facts.st_gid == account.group:
            needed = stat.S_IXGRP
        if not facts.st_mode & needed:
            return False
    return True


def server_directory(account: Account, wanted: Path) -> Path:
    """Return a directory owned by the account: `wanted`, or another with a link at `wanted`."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if wanted.is_dir():
        return wanted.resolve()
    wanted.unlink(missing_ok=True)
    if can_reach(account, wanted):
        wanted.mkdir(mode=0o700)
    else:
        elsewhere = tempfile.mkdtemp(prefix=f"{wanted.name}-", dir=_state_place())
        wanted.symlink_to(elsewhere)
    account.own(wanted.resolve())
    return wanted.resolve()


def reachable_root(account: Account, root: Path, *, parts: tuple[str, ...], version: str) -> Path:
    """Return a folder with these parts of `root` that the account can reach: `root`, or a copy.

    Programs find their libraries by relative paths, so the copy has the same layout.
    """
    if can_reach(account, root / "any"):
        return root
    home = _state_place() / "programs" / version
    if not home.is_dir():
        home.parent.mkdir(mode=0o755, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=home.parent))
        for part in parts:
            shutil.copytree(root / part, draft / part, symlinks=True)
        for path in (draft, *draft.rglob("*")):
            # Readable by every account, whatever the mask was when the original was installed.
            if not path.is_symlink():
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))
        try:
            draft.rename(home)
        except OSError:
            # Another process was first.
            shutil.rmtree(draft)
    return home


def _state_place() -> Path:
    """Return the first of STATE_PLACES that root owns, making it when missing."""
    for place in STATE_PLACES:
        try:
            place.mkdir(mode=0o755, exist_ok=True)
        except OSError:
            continue
        facts = place.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid():
            return place
    raise PermissionError(f"no place for server files: {', '.join(map(str, STATE_PLACES))}")
