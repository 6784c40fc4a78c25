"""The server: images come in over HTTP, or into a folder; answers go out as JSON."""
