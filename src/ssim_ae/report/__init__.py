"""A page to look at: how good a detector is, what it found, and where its limit should lie."""
