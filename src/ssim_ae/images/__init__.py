"""Image files and data sets: formats, reading and writing, resizing, the inspected view, and colors."""
