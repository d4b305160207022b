"""Fault drills: a scaled-out installation of real processes, watchers that count, and faults."""
