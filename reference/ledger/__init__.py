"""Balances in PostgreSQL, by double entry: what replaying the exchange's events gives, and nothing else."""
