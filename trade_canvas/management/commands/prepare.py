"""Prepares an installation for serving; `up` runs it at every start."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from market import identity
from market.files import write_whole
from market.models import WhitelistedSeries
from trade_canvas.reach import reach_database
from trade_canvas.up.plan import LOCAL_EXCHANGE, demo_series

ADMIN = "admin"
# Large files of packages that none of our pages uses.
UNUSED = ["*.map", "redoc"]


class Command(BaseCommand):
    """Creates tables, static files, admin account and demo series where they are missing."""

    help = "Migrate, collect static files, make the admin account and the demo whitelist."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--exchange", default=LOCAL_EXCHANGE, help="whose demo series to whitelist"
        )
        parser.add_argument(
            "--without-static",
            action="store_true",
            help="leave static files alone: an image has them already",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        reach_database()
        if not options["without_static"]:
            self._collect_static()
        if settings.SWITCHES.enable_pg_store:
            call_command("migrate", verbosity=0, interactive=False)
            identity.check_at_start()
            self._make_admin(os.environ.get("ADMIN_PASSWORD", ""))
            self._whitelist_rows(options["exchange"])
        else:
            self._whitelist_file(Path(settings.SWITCHES.whitelist_path), options["exchange"])

    def _collect_static(self) -> None:
        stamp = settings.STATIC_ROOT / ".collected"
        wanted = _fingerprint([settings.FRONTEND_DIST, settings.BASE_DIR / "requirements.lock"])
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        self.stdout.write("collecting static files")
        settings.STATIC_ROOT.mkdir(exist_ok=True)
        call_command("collectstatic", verbosity=0, interactive=False, ignore_patterns=UNUSED)
        # Only now, and only what is left over: another process may be serving the files.
        kept = {name for finder in get_finders() for name, _ in finder.list(UNUSED)} | {stamp.name}
        for file in settings.STATIC_ROOT.rglob("*"):
            name = file.relative_to(settings.STATIC_ROOT).as_posix()
            if file.is_file() and name not in kept and name.removesuffix(".gz") not in kept:
                file.unlink()
        write_whole(stamp, wanted)

    def _make_admin(self, password: str) -> None:
        users = get_user_model().objects
        admin = users.filter(username=ADMIN).first()
        if admin is None:
            shown = password or secrets.token_urlsafe(12)
            users.create_superuser(ADMIN, password=shown)
            if not password:
                # It is shown only once: only its hash is stored.
                self.stdout.write(f"admin account made: user {ADMIN}, password {shown}")
        elif password and not admin.check_password(password):
            admin.set_password(password)
            admin.save()
            self.stdout.write("admin password set from ADMIN_PASSWORD")

    def _whitelist_rows(self, exchange: str) -> None:
        rows = WhitelistedSeries.objects
        if not rows.filter(series_id__startswith=f"{exchange}:").exists():
            self._report(exchange)
            rows.bulk_create(WhitelistedSeries(series_id=each) for each in demo_series(exchange))
        if exchange != LOCAL_EXCHANGE:
            # The local exchange is not running then.
            rows.filter(series_id__in=demo_series(LOCAL_EXCHANGE)).update(enabled=False)
        elif not rows.filter(series_id__startswith=f"{exchange}:", enabled=True).exists():
            rows.filter(series_id__in=demo_series(exchange)).update(enabled=True)

    def _whitelist_file(self, path: Path, exchange: str) -> None:
        path = settings.BASE_DIR / path
        if path.exists() and any(each.startswith(f"{exchange}:") for each in _entries(path)):
            return
        self._report(exchange)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"series_ids": demo_series(exchange)}, indent=2) + "\n")

    def _report(self, exchange: str) -> None:
        self.stdout.write(f"whitelisted: {', '.join(demo_series(exchange))}")


def _entries(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8").strip("\0")
    if not text:
        # A power loss left it empty.
        return []
    try:
        content = json.loads(text)
    except ValueError as error:
        raise CommandError(f"{path} is no JSON: {error}; correct or remove it") from error
    return list(content["series_ids"] if isinstance(content, dict) else content)


def _fingerprint(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                facts = file.stat()
                digest.update(f"{file}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()
