"""The daemon put together: founding a ledger, composing the parts, and keeping them running until told to stop."""
