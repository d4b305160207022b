"""Commands that measure for long check first that their figures can be recorded."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from lab.management.commands import capacity, drill


def begun(*given, **named):
    raise AssertionError("it began")


@pytest.mark.parametrize("text", [None, "a page without the markers"])
def test_page_without_a_place_for_the_figures_is_refused_first(monkeypatch, tmp_path, text):
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)
    monkeypatch.setattr(drill, "run_drills", begun)
    with pytest.raises(CommandError, match=r"page\.md"):
        call_command("drill", "hostile-watcher", report=page)
    monkeypatch.setattr(capacity, "open_installation", begun)
    with pytest.raises(CommandError, match=r"page\.md"):
        call_command("capacity", record=page, output=tmp_path)
