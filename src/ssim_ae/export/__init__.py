"""Files that other programs run, and the proof that they say what the detector says."""
