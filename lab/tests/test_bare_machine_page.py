"""The commands of a page are taken as they are written, and none is forgotten."""

from __future__ import annotations

import pytest

from lab.bare_machine.page import Page

TEXT = """# A page

```sh
before any section
```

## First

Words.

```sh
NAME=a.b
use $NAME
```

```json
{}
```

```sh
second
```

## Second

```sh
third
```
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(TEXT)
    return Page(path)


def test_block_that_the_page_does_not_have_is_an_error(page):
    for section, number in (("First", 2), ("Third", 0)):
        with pytest.raises(KeyError):
            page.block(section, number)


def test_variable_that_the_page_gives_no_value_is_an_error(page):
    with pytest.raises(KeyError):
        page.block("First", OTHER="1")


def test_values_replace_those_of_the_page(page):
    assert page.block("First") == "NAME=a.b\nuse $NAME\n"
    assert page.block("First", NAME="c d") == "NAME='c d'\nuse $NAME\n"


def test_blocks_that_were_not_taken_are_left(page):
    page.block("First", 1)
    assert page.left == ["First, block 0", "Second, block 0"]
