"""S3's protocol at the door: requests to operations with their parameters, results and errors to answers."""
