"""A long run while its cluster keeps changing: nothing is missed, nothing grows."""
