"""The exponential moving average of closes, as a package of its own would have it."""
