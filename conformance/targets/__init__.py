"""Everything that can be certified: one file an adapter, `profile.py` for the TOML that describes one."""
