"""The real scan that ships with the package; see NOTICE for its source and licence."""
