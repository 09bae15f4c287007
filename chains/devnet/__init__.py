"""Local chains for rehearsals and tests: real programs and real protocols, on this machine only.

Nothing else imports this room. It needs the extra `devnet`; an absent tool is a named error, no silent skip.
"""
