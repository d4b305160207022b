"""Shows which installation this database is, and resolves that two databases claim to be one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from market import identity, singletons
from market.management.arguments import require_database
from market.stores.installation import give_new_id, read_identity, renew_generation


class Command(BaseCommand):
    """Without options it only reads."""

    help = "Show the installation's id; separate a copy of its database, or adopt a replacement."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        action = parser.add_mutually_exclusive_group()
        action.add_argument(
            "--new",
            action="store_true",
            help="this database is a copy: give it an id of its own",
        )
        action.add_argument(
            "--adopt",
            action="store_true",
            help="this database replaces the one that the bus knows under its id",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        require_database()
        if options["new"]:
            give_new_id()
            singletons.reset()
        if options["adopt"]:
            # Candles that the other database had may be missing here.
            renew_generation()
            identity.adopt()
        self.stdout.write(f"installation {read_identity().installation_id}")
        identity.check()
