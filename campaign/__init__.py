"""A campaign of faults and bad inputs: `make campaign`."""
