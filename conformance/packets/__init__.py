"""The kit on the wire: frames, a TCP client over them, illegal traffic, captures; and the direct feed as the kit reads it.

docs/packets.md says which module has what. The reader of the direct feed is made from docs/direct-feed.md alone.
"""
