"""HTTP server: inspects uploaded images and images of a watched folder, and returns the results as JSON."""
