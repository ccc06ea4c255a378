"""One file a group of commands; each reads its arguments, calls one function, says what came out.

Nothing here imports torch at the top: ``uqrestore --help`` answers at once.
"""
