"""What providers do to their clients, as data: one frozen struct for each fault, and what it answers.

A fault decides; it opens no socket and asks no clock but the exchange's. So the same structs stand in front of a real
node (`chains.devnet.faultproxy`), in a rehearsal script (`python -m chains.devnet.faults`), and in tests in which an
hour passes at once. `catalogue` lists them all.
"""
