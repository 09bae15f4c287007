"""When deposits and withdrawals of a chain pause and resume: measured facts in, states and reasons out.

The rules are pure (`now` is monotonic seconds), so that a whole outage can be played through in a table test. The flow
`custody.flows.pausing` measures, and speaks to the ledger.
"""
