"""What a detector finds and what it tolerates, measured on held-out good images."""
