"""The ledger: what every account has and what its open orders hold, in PostgreSQL, double entry, a consequence of the audit log."""
