"""ccxt's exchanges are imported when they are used, and nothing else of ccxt changes."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import ccxt.async_support
import ccxt.pro
import pytest

from market.exchanges.ccxt_packages import EXCHANGE_IMPORT, PACKAGES, Loader


@pytest.mark.parametrize("name", PACKAGES)
def test_exactly_the_exchanges_of_a_package_are_left_out(name):
    """An upgrade of ccxt that writes its imports in another way fails here."""
    source = Path(importlib.util.find_spec(name).origin).read_bytes()
    left_out = [each.decode() for each in EXCHANGE_IMPORT.findall(source)]
    assert sorted(left_out) == sorted(importlib.import_module(name).exchanges)


def test_an_exchange_stays_a_class_when_its_module_is_imported():
    importlib.import_module("ccxt.pro.kraken")
    assert issubclass(ccxt.pro.kraken, ccxt.async_support.kraken)
    assert ccxt.async_support.kraken.__module__ == "ccxt.async_support.kraken"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nowhere'"):
        _ = ccxt.pro.nowhere
    assert not hasattr(ccxt.pro, "coinmate")


def test_no_compiled_file_without_the_exchanges_is_left(tmp_path):
    (tmp_path / "__init__.py").write_text("from ccxt.here import here\nfound = 1\n")
    code = Loader("ccxt", str(tmp_path / "__init__.py")).get_code("ccxt")
    assert code.co_names == ("found",)
    assert [each.name for each in tmp_path.iterdir()] == ["__init__.py"]
