"""What is known about the honesty of the method behind a file: its card, and any guarantee."""
