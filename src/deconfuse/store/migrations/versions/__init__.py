"""The steps, one file each, in the order in which they name each other."""
