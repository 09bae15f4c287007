"""EVM chains with EIP-1559 fees and a `finalized` tag: how to read them, pay on them, and prove what happened there.

Reading order: `codec` (what the wire means), `finality` (what may be believed), `facts` (what a block says about us),
`rpc` and `watcher` (the asking), `composer` and `broadcaster` (the paying), `adapter` (the whole, as custody sees it).
`codec`, `finality`, `facts` and `composer` are pure; the signer uses the first and the last of them too.
"""
