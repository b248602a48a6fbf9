"""Proof of identity: who sent a request, and that nothing signed in it was altered.

`sigv4` reads the signature of a request and checks it, `chunked` takes the framing off a body and checks what only its
bytes can tell, `checksums` are S3's checksums as running sums. Nothing here touches the world: the request, the secret
and the time are handed in, and botocore's signer does the cryptography.
"""
