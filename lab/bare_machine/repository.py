"""A repository with two releases: this commit, and one with another migration on top of it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
RELEASES = ("first", "second")
MIGRATIONS = "market/migrations"
MIGRATION = '''"""A change of the tables, for an upgrade and a way back."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("market", "{before}")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE series ADD COLUMN note text", "ALTER TABLE series DROP COLUMN note"
        )
    ]
'''


def make(target: Path) -> Path:
    """Make the repository in `target`, with a tag for each release, and return it."""
    git("clone", "--quiet", "--bare", "--no-hardlinks", str(ROOT), str(target), folder=ROOT)
    git("tag", "--force", RELEASES[0], "HEAD", folder=target)
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder, "checkout")
        git("clone", "--quiet", str(target), str(checkout), folder=ROOT)
        git("checkout", "--quiet", RELEASES[0], folder=checkout)
        before = newest_migration(target, RELEASES[0])
        number = int(before[:4]) + 1
        path = checkout / MIGRATIONS / f"{number:04}_of_the_second_release.py"
        path.write_text(MIGRATION.format(before=before))
        git("add", str(path), folder=checkout)
        author = ("-c", "user.name=release", "-c", "user.email=release@localhost")
        git(*author, "commit", "--quiet", "--message", "Add a migration", folder=checkout)
        git("tag", RELEASES[1], folder=checkout)
        git("push", "--quiet", "origin", RELEASES[1], folder=checkout)
    return target


def newest_migration(repository: Path, release: str) -> str:
    """Return the name of the newest migration of `market` in a release."""
    listed = git("ls-tree", "--name-only", release, f"{MIGRATIONS}/", folder=repository)
    names = [Path(line).stem for line in listed.splitlines()]
    return max(name for name in names if name[:4].isdigit())


def git(*arguments: str, folder: Path) -> str:
    """Run git in a folder and return its output."""
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
