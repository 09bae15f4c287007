"""Whether something is allowed, as numbers in → verdict out. Called by the ledger's `decide`, so every node agrees."""
