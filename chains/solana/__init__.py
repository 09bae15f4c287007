"""Solana: slots, accounts and blockhashes, read by balance differences and never by parsing instructions.

The rooms are the twins of every other chain's: `codec` (wire → facts), `finality` (is it proven, is it dead?), `rpc`
(typed calls), `watcher` (ranges), `composer` (unsigned messages), `broadcaster` (sending and absence), `adapter` (the
port itself). `codec`, `finality` and `composer` are pure: the same bytes and the same facts on every machine.
"""
