"""Sources that the server inspects by itself: cameras, streams and video files."""
