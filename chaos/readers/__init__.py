"""A game day of those who read the exchange: publisher, brokers, market data, ledger and PostgreSQL are killed while it trades.

What each of them says is held against the audit log as the kit reads it: subscribers' books and trades, the topic, the balances.
"""
