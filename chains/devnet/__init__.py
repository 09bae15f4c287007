"""Local chains for rehearsals and tests: real programs and real protocols, on this machine only.

Nothing else imports this room. It needs the extra `devnet`; a tool that is absent is a named error, never a silent skip.
"""
