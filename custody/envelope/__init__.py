"""Who said it: signed envelopes, the canonical bytes they sign, and the key files people and daemons sign with.

The command line and the client use this room too, so it knows nothing of ledgers, chains or processes.
"""
