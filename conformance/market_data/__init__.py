"""A subscriber's end of a market data feed: what it hears (updates), how it is read (decoder), who reads it (subscriber)."""
