"""The one record: blocks of signed envelopes, chained by hashes, durable before anybody is told.

This room keeps and proves the bytes. What they mean, whether the state roots are right and whose seals count is decided
by those who re-execute them.
"""
