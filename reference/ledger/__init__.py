"""The ledger: what accounts have and what their open orders hold, in PostgreSQL, double entry, a consequence of the audit log."""
