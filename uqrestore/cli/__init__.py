"""Commands by group: each reads its arguments, calls one function and prints the result.

Nothing here imports torch at the top: ``uqrestore --help`` answers at once.
"""
