"""The error budget: how much darkness is allowed, and how much was used, over weeks."""
