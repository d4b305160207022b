"""The list of error codes: the page has the same, and answers use no other."""

from __future__ import annotations

import ast
import re

from rest_framework.exceptions import NotAcceptable, UnsupportedMediaType

from market.api.error_codes import ErrorCode
from market.api.errors import as_api_error
from tests.sources import ROOT, sources

ROW = re.compile(r"^\| \d{3} \| (.+?) \|", re.MULTILINE)
CODE = re.compile(r"`([a-z_.]+)`")


def test_page_has_every_code_and_no_other():
    page = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    section = page.partition("\n## Errors\n")[2].partition("\n## ")[0]
    listed = {code for cell in ROW.findall(section) for code in CODE.findall(cell)}
    assert listed == {str(code) for code in ErrorCode}


def test_every_code_has_a_meaning():
    assert [code for code in ErrorCode if not code.meaning] == []


def test_every_code_is_used():
    texts = (
        path.read_text(encoding="utf-8")
        for path in sources("market", "factors", "overlays", "trade_canvas")
        if path.name != "error_codes.py"
    )
    # Few files have one, and parsing all of them takes seconds.
    text = "\n".join(each for each in texts if "ErrorCode." in each)
    used = {node.attr for node in ast.walk(ast.parse(text)) if is_member(node)}
    # These come from what another room or REST framework raises, by their value.
    by_value = {"STORE_FULL", "STORE_READ_ONLY", "TIMESCALEDB_NOT_LOADED"}
    assert {code.name for code in ErrorCode} - used - by_value == set()


def is_member(node):
    is_attribute = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    return is_attribute and node.value.id == "ErrorCode"


def test_refusals_of_the_framework_have_listed_codes():
    refused = as_api_error(UnsupportedMediaType("text/plain"))
    assert refused.code is ErrorCode.UNSUPPORTED_MEDIA_TYPE
    assert as_api_error(NotAcceptable()).code is ErrorCode.BAD_REQUEST
