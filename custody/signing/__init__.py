"""The only room where wallet keys live, and the rules by which they are used.

It runs as a process of its own, without a network. Nothing here talks to a chain: it takes exact bytes, checks them
against its own replica of the ledger, and signs or refuses.
"""
