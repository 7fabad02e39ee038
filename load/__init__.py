"""Load against an order-entry port: locust users, the order cannon, arrival profiles, latency recording.

Nothing is here yet; the throughput of the native core is measured by native/bench.
"""
