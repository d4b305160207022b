"""Print the windows that are asked for and skipped, for every exchange of ccxt."""

from __future__ import annotations

import sys

from lab.venues.scan import scan_all, unscannable


def main() -> int:
    """Print the table; 1 when an exchange skips candles that were never asked for."""
    wrong = 0
    print(f"{'exchange':24}{'market':9}{'':5}{'page':>7}{'asked':>8}{'skipped':>8}{'unasked':>8}")
    for one in scan_all():
        wrong += not one.is_right
        figures = f"{one.page:7}{one.asked:8}{one.skipped:8}{one.unasked:8}"
        print(f"{one.exchange:24}{one.market:9}{one.timeframe:5}{figures}  {one.note}", flush=True)
    for exchange, reason in unscannable():
        print(f"{exchange:24}not scanned: {reason}")
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
