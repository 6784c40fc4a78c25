"""The pose of a part that lies at any position and angle on an even background, and images turned along it."""
