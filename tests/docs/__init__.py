"""The documentation is true: its code runs and its commands exist."""
