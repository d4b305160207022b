"""Coordinates, candles and the ports of the market app: standard library only, no I/O."""
