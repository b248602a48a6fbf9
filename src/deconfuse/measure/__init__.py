"""Counts to numbers: matrices, scores, intervals, curves. Pure; knows numpy and nothing of images or files."""
