"""From a CSV file to facts, levels and a picture: a notebook in cells, or `python levels.py FILE`.

Needs pandas. The file has the columns candle_time (or date), open, high, low, close, volume.
"""

# %% Candles
from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from trade_canvas_factors import Engine, svg

VECTORS = Path(__file__).resolve().parents[3] / "tests" / "vectors"
FILE = Path(sys.argv[1]) if len(sys.argv) > 1 else VECTORS / "p2.candles.csv"
candles = pd.read_csv(FILE)
print(f"{len(candles)} candles of {FILE.name}")

# %% Everything that the factors found
run = Engine("5m", parameters={"pivot": {"window_major": 30}}).run(candles)
events = pd.DataFrame(run.event_columns())
print(events.groupby("kind").size().to_string())

# %% How far pens go, by direction
pens = pd.DataFrame([event.payload for event in run.events if event.kind == "pen.confirmed"])
pens["reach"] = (pens.end_price / pens.start_price - 1).abs() * 100
print(pens.groupby("direction").reach.describe().round(2).to_string())

# %% The levels at the newest candle
levels = pd.DataFrame(run.heads["sr"]["levels"])
print(levels[["price", "type", "status", "count"]].to_string(index=False))

# %% A picture of the newest candles: the same draw instructions as on the page
picture = svg(run, candles=400, title=FILE.name)
target = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("levels.svg")
target.write_text(picture)
print(f"drawn: {target}")

# %% One more candle, as it closes
last = run.candles[-1]
step = run.step((last.candle_time + 300, last.close, last.close, last.close, last.close))
print(f"the next candle adds {len(step.events)} facts, changes {len(step.heads)} heads")
