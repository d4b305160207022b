"""Proves docker/: its image, compose's services and Kubernetes' pods, in containers of podman."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lab.containers.story import Story, compose_story, kubernetes_story, make_images
from lab.drills.outcome import write_report
from lab.program import LabFailed
from lab.waiting import WaitTimeout

STORIES = {"compose": compose_story, "kubernetes": kubernetes_story}


class Command(BaseCommand):
    """Needs root, podman and Debian's packages; leaves images behind, nothing else."""

    help = "Build the image, start what docker/ describes with podman, disturb it, take it down."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", help="compose or kubernetes (default: both)")
        parser.add_argument("--logs", type=Path, help="folder to keep the containers' logs in")
        parser.add_argument("--report", type=Path, help="page to put the figures into")

    def handle(self, *args: Any, **options: Any) -> None:
        names = options["names"] or list(STORIES)
        if unknown := set(names) - STORIES.keys():
            raise CommandError(f"no such part: {', '.join(sorted(unknown))}")
        story = Story(self._report)
        try:
            make_images(story)
            for name in names:
                with tempfile.TemporaryDirectory() as folder:
                    logs = options["logs"] / name if options["logs"] else Path(folder)
                    logs.mkdir(parents=True, exist_ok=True)
                    STORIES[name](story, logs)
        except (LabFailed, WaitTimeout) as error:
            raise CommandError(str(error)) from error
        if options["report"]:
            write_report(options["report"], story.outcomes)
        if failed := [each.name for each in story.outcomes if not each.is_clean]:
            raise CommandError(f"failed: {'; '.join(failed)}")

    def _report(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
