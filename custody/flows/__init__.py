"""The stories: what follows what, between chains, ledger and signer. Each flow is one sequential worker per thing.

A flow holds nothing that a restart may not forget: it looks at the durable books, does the next step, and looks again.
"""
