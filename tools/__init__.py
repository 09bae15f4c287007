"""What guards and shows the project and is never shipped with it: the contracts' checkers and the demonstration.

Nothing under `custody` or `chains` imports from here.
"""
