"""Custody: a ledger of what is owed, kept apart from the wallets that hold it, and the stories that join the two."""
