"""Small things that every room uses: whole files, names in files, texts, the version."""
