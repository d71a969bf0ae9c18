"""Runs that are killed at random moments, many times."""
