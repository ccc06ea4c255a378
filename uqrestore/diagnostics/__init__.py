"""How good a restored image is, and how honest its uncertainty."""
