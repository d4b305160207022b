"""Candles in files: the formats that people keep, read into candles and written from them."""
