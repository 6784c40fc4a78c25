"""At the line: the log of every inspection, in a database, with the images that are kept."""
