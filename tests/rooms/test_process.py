"""The socket and the certificate of a server: what cannot be had is said."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deconfuse.errors import Denied, InUse, Invalid, NotFound
from deconfuse.server.process import address_of, check_tls, is_loopback, listen
from secure import make_certificate


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:{}"),
        ("localhost", "http://localhost:{}"),
        ("0.0.0.0", "http://127.0.0.1:{}"),
        ("::1", "http://[::1]:{}"),
        ("::", "http://[::1]:{}"),
    ],
)
def test_a_server_says_where_it_is(host: str, address: str) -> None:
    """At an address that a client on this machine can use; the wildcards are none."""
    with listen(host, 0) as listener:
        port = listener.getsockname()[1]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET

        assert address_of(listener, host, is_secure=False) == address.format(port)
        assert address_of(listener, host, is_secure=True).startswith("https://")
        assert listener.family == family


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST", "localhost."])
def test_this_machine_alone(host: str) -> None:
    """Nobody else can reach these."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "", "128.0.0.1", "127.0.0.1x"])
def test_others_too(host: str) -> None:
    """Whatever is not surely this machine counts as open."""
    assert not is_loopback(host)


def test_a_taken_port_is_said() -> None:
    """With the flag that names another one."""
    with listen("127.0.0.1", 0) as listener, pytest.raises(InUse, match="--port"):
        listen("127.0.0.1", listener.getsockname()[1])


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a" * 300, "\udcff", "1.2.3"])
def test_a_host_that_is_not_here_is_said(host: str) -> None:
    """An address of another machine, a name that nobody knows, a name that is none."""
    with pytest.raises((Invalid, Denied)):
        listen(host, 0)


def test_a_certificate_fits_its_key(tmp_path: Path) -> None:
    """In two files or in one."""
    certificate, key = make_certificate(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    check_tls(certificate, key)
    check_tls(both, None)


def test_a_certificate_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    """Without its key, with another one's, with an encrypted one, or no PEM at all; nobody is asked for a password."""
    (tmp_path / "other").mkdir()
    certificate, key = make_certificate(tmp_path)
    _, other = make_certificate(tmp_path / "other")
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(_encrypted(key))
    junk = tmp_path / "junk.pem"
    junk.write_bytes(b"\xff\x00")
    for wrong in ((certificate, None), (certificate, other), (certificate, encrypted), (junk, key), (key, key)):
        with pytest.raises(Invalid, match="PEM"):
            check_tls(*wrong)
    for missing in ((tmp_path / "none", key), (certificate, tmp_path / "none"), (tmp_path, key)):
        with pytest.raises(NotFound):
            check_tls(*missing)


def _encrypted(key: Path) -> bytes:
    from cryptography.hazmat.primitives import serialization

    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    hidden = serialization.BestAvailableEncryption(b"password")
    return loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
