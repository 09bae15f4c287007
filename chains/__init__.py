"""What is known about blockchains and the providers that speak for them, and nothing about custody.

A reader who wants to know what a chain said stays in here; a reader who wants to know what that means for a user's
money goes to `custody`. `chains` never imports `custody`, and no chain imports another: they are twins with the same
rooms in the same order (codec, finality, rpc, watcher, composer, broadcaster, adapter), judged by one contract test.
"""
