"""``python -m uqrestore`` is the command ``uqrestore``."""

from uqrestore.cli import main

main()
