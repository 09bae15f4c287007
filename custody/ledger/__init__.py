"""The deterministic state machine over the signed journal. Pure: no I/O, clock, chance, float or hash order.

Read it in this order: `transactions` (what may be said), `state` (what is known), `decide` (what follows, or why not),
`evolve` (the only code that changes state), `transition` (the two joined, one transaction at a time).
"""
