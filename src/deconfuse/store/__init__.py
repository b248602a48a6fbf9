"""What persists: rows in a database, bytes in files or in any S3. Nothing below this floor remembers anything."""
