"""Fault drills: faults in a scaled-out installation, and watchers that count what they cost."""
