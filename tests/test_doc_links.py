"""What the pages link to and the files they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "docker/**/*.md", "frontend/*.md", "clients/*/*.md")
    for path in ROOT.glob(pattern)
)
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
# Not those that commands make: their files come and go.
MADE = re.findall(r"^(\w+)/$", (ROOT / ".gitignore").read_text(), re.MULTILINE)
FOLDERS = "|".join(
    path.name
    for path in ROOT.iterdir()
    if path.is_dir() and path.name[0] != "." and path.name not in MADE
)
FILE = re.compile(rf"`((?:{FOLDERS})/[\w/.-]+\.\w+)`")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in kept}


def links(text: str) -> list[str]:
    """The addresses of links and pictures."""
    return [link or picture for link, picture in LINK.findall(text)]


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    text = FENCE.sub("", page.read_text())
    found = []
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def test_links_that_lead_nowhere_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A, b: c\n[a](#a-b-c) [b](#no) [c](page.md#a-b-c) [d](none.md) [e](https://x)"
        '<img src="none.webp">'
    )
    assert broken(page) == ["#no", "none.md", "none.webp"]


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page):
    places = (ROOT, (ROOT / page).parent)
    text = (ROOT / page).read_text()
    # The page's reader makes these.
    made = re.findall(r"startfactor (\w+)", text)
    named = [
        name for name in FILE.findall(text) if "NAME" not in name and Path(name).stem not in made
    ]
    assert [name for name in named if not any((at / name).exists() for at in places)] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page):
    assert broken(ROOT / page) == []


def test_readme_leads_to_every_page():
    linked = set(links((ROOT / "README.md").read_text()))
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert pages - linked == set()
