"""``python -m uqrestore`` is the command ``uqrestore``."""

from uqrestore.cli.app import main

main()
