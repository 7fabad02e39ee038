"""Who is primary: lease, epoch, monitor, replication handshake and takeover, as state machines without clock, socket or file.

Callers hand in the time and what came in, and carry out what comes back; `storage.py` alone touches files. The same machines
run in `matchmark serve` and in the simulated world of `matchmark.reference.simulate`. docs/control-plane.md has their tables
and the argument why there are never two primaries.
"""
