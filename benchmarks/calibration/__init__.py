"""Calibration of the downtime meter against outages of known length."""
