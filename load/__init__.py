"""Load against an order-entry port.

    cannon.py     the native cannon: shots at intended times, every answer checked as it comes (native/cannon*.c)
    arrivals.py   when orders are due; mix.py and flow.py: what they are; bitstamp.py: a recording
    venue.py      the target; run.py: one load; trouble.py: when it must end early
    measure.py    latency, lateness, rates; latency.py: histograms and their files; judge.py: whether it was right
    knee.py       the search for the knee; result.py, report.py, compare.py: what is written down
    swarm.py      locust, with fix_user.py and market_data_user.py; fix_wire.py is their FIX

fix_load.py is another native load, with a closed window, for game days: it outlives the exchange and sends again what is in
doubt.
"""
