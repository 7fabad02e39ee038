"""Faults, one file each: what it needs, how it is injected, how it is healed. Faults judge nothing (the suites do)."""
