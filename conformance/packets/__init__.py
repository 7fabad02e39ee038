"""The direct feed as the kit reads it: its packets for scapy, and a receiver. Made from docs/direct-feed.md alone."""
