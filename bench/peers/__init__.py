"""Scripts that run in the virtual environments of the peers, and what both sides share."""
