"""A Solana cluster of one, over the real programs in LiteSVM, so that money paths are rehearsed without a network.

LiteSVM executes transactions truly but knows no blocks, no commitment, no blockhash window and no JSON-RPC. This room
adds these, shaped as agave shapes them, and is judged by clients that nobody here wrote (tests/peers).

`bank` decides, `history` remembers, `execution` runs one transaction, the `methods_*` answer, `subscriptions` notify;
none of these knows a clock or a socket. `server` and `chain` do.
"""
