"""How good a detector is: figures with intervals, tables and pictures."""
