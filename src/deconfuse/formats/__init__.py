"""Other people's files to tables and back: bytes and lines in, values out; no paths."""
