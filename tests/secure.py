"""The doors over TLS, with a certificate that is made on the spot.

with served_securely(house, folder) as service:     service.url begins with https
    service.client("s3", …)                          trusts it, as every client does that is told `authority(folder)`
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deconfuse.service.house import House
from serving import Doors, Service


def authority(folder: Path) -> Path:
    """The certificate that clients are to trust."""
    return folder / "certificate.pem"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, buckets below it and 127.0.0.1, signed by itself, and its key, both in `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [
        x509.DNSName("localhost"),
        x509.DNSName("*.localhost"),
        x509.DNSName("photos.localhost"),  # Node takes no wildcard before a single word
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority(folder).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = folder / "key.pem"
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return authority(folder), secret


@contextmanager
def served_securely(house: House, folder: Path) -> Iterator[Service]:
    """The doors of `house` over TLS on a free port of localhost; the certificate lies in `folder`."""
    certificate, key = make_certificate(folder)
    doors = Doors(house)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        doors,
        lifespan="off",
        ws="none",
        log_level="critical",
        timeout_keep_alive=60,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    service = Service(doors, f"https://localhost:{listener.getsockname()[1]}")
    try:
        yield service
    finally:
        service.close()
        server.should_exit = True
        thread.join(10)
        listener.close()
