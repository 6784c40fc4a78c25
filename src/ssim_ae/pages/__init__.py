"""What the pages have in common: one look, and pictures whose limit moves."""
