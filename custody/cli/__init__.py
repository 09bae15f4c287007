"""What stands behind `custodyctl`: one module for each family of commands, loaded when one of them is called.

`custodyctl pause` must answer within 150 ms of process time, on a bad day above all. So nothing here may import what it
does not need: the socket is spoken to by the standard library, keys are loaded to sign, tables to be drawn.
"""
