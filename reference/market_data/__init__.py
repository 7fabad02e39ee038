"""Trades, quotes and books to subscribers: services that conflate, WebSocket servers that fan out, a direct feed beside them."""
