"""What the exchange did, as those read it who are on no order's path: market data and the ledger."""
