"""Images in: files read safely, folders searched, sizes changed, and the built-in data set."""
