"""The detector, its file, and what it returns for an image."""
