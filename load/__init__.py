"""Load against an order-entry port.

fix_load.py is the native FIX load with its ledger; the throughput of the core is measured by native/bench.
"""
