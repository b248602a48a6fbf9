"""Vectors to a classifier: fit, cross-validate, calibrate, keep."""
