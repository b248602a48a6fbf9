"""Objects in an S3: what the library cannot do is said; and another author's server agrees."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import boto3
import pytest
from obstore.store import MemoryStore, ObjectStore

from clusters import free_port
from deconfuse.errors import Denied, Invalid, NotBuilt, NotFound, Unavailable, Unmet
from deconfuse.store.objects import OWN_BUCKET, Conditions, Span, list_all, read_all
from deconfuse.store.s3 import MOST_STORES, S3Address, S3Objects, connect_s3
from stores import memory_objects


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", ".", "a/../b", "a\nb", "\0", "a/./b"])
def test_a_key_that_is_no_path_is_refused(key: str) -> None:
    """Not renamed in silence: another object would be meant."""
    objects = memory_objects("photos")
    for act in (objects.head, objects.get, objects.delete, lambda b, k: objects.put(b, k, b"")):
        with pytest.raises(Invalid):
            act("photos", key)


@pytest.mark.parametrize(
    "conditions", [Conditions(if_match=("a", "b")), Conditions(if_none_match=("a",)), Conditions(if_match=())]
)
def test_conditions_that_an_s3_does_not_know(conditions: Conditions) -> None:
    """They are not ignored."""
    with pytest.raises(NotBuilt):
        memory_objects("photos").put("photos", "a", b"x", conditions=conditions)


def test_a_header_that_cannot_be_kept() -> None:
    """Expires would come back as metadata."""
    with pytest.raises(NotBuilt):
        memory_objects("photos").put("photos", "a", b"x", headers={"Expires": "0"})


def test_nobody_at_the_address() -> None:
    """Unavailable, and soon."""
    address = S3Address("photos", "", "us-east-1", "key", "secret", f"http://127.0.0.1:{free_port()}")

    with pytest.raises(Unavailable, match="did not answer"):
        S3Objects(connect_s3(address, retry_seconds=1)).head("photos", "a")


def test_names_of_buckets_do_not_fill_the_memory() -> None:
    """Anybody can ask for any number of them; what is behind one is asked for again after many others."""
    asked: list[str] = []

    def connect(bucket: str) -> ObjectStore:
        asked.append(bucket)
        return MemoryStore()

    objects = S3Objects(connect)
    for bucket in ["photos", *(f"bucket-{n}" for n in range(MOST_STORES)), "photos", "photos"]:
        objects.list_objects(bucket)

    assert asked.count("photos") == 2
    assert len(objects._stores) <= MOST_STORES


def test_the_secret_is_not_shown() -> None:
    """Not where an address is printed."""
    assert "hush" not in repr(S3Address("photos", "", "us-east-1", "key", "hush"))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Moto's server: an S3 by another author, in memory."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
        process.terminate()


@pytest.fixture
def objects(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Objects:
    """Objects there: buckets "photos" and "company", our own things in company/teams/ml."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    for bucket in ("photos", "company"):
        client.create_bucket(Bucket=bucket)
    client.close()
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the client's, not ours")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-clients")
    return S3Objects(connect_s3(S3Address("company", "teams/ml", "us-east-1", "k", "s", endpoint)))


@pytest.mark.slow
def test_another_authors_server_agrees(objects: S3Objects) -> None:
    """Put, head, get, ranges, conditions, listing, parts and delete, over HTTP."""
    objects.put("photos", "a/1", b"0123456789", headers={"Content-Type": "image/png"}, metadata={"n": "1"})
    objects.put("photos", "a/2", iter([b"x" * 6_000_000, b"y" * 6_000_000]))
    objects.put("photos", "b", b"", conditions=Conditions(if_none_match=("*",)))
    stored = objects.head("photos", "a/1")

    assert (dict(stored.headers), dict(stored.metadata)) == ({"Content-Type": "image/png"}, {"n": "1"})
    with objects.get("photos", "a/1", span=Span(2, 4)) as content:
        assert (content.start, b"".join(content)) == (2, b"234")
    with objects.get("photos", "a/2") as content:
        assert sum(map(len, content)) == 12_000_000
    assert [s.key for s in list_all(objects, "photos")] == ["a/1", "a/2", "b"]
    page = objects.list_objects("photos", delimiter="/", limit=1)
    assert (page.prefixes, page.next_after) == (("a/",), "a/")
    assert [s.key for s in objects.list_objects("photos", delimiter="/", after="a/").objects] == ["b"]
    for act, error in (
        (lambda: objects.get("photos", "a/1", span=Span(10, None)), Invalid),
        (lambda: objects.put("photos", "b", b"", conditions=Conditions(if_none_match=("*",))), Unmet),
        (lambda: objects.head("photos", "a/1", conditions=Conditions(if_none_match=(stored.etag,))), Unmet),
        (lambda: objects.get("photos", "none"), NotFound),
    ):
        with pytest.raises(error):
            act()
    objects.delete("photos", "b")
    with pytest.raises(NotFound):
        objects.head("photos", "b")
    with pytest.raises((NotFound, Denied)):
        objects.list_objects("nowhere")


@pytest.mark.slow
def test_our_own_bucket_lies_below_the_prefix(objects: S3Objects) -> None:
    """The same words for the service, whichever store it is."""
    objects.put(OWN_BUCKET, "bundles/1", b"x")

    assert read_all(objects, "company", "teams/ml/bundles/1", limit_bytes=9) == b"x"
    assert [s.key for s in list_all(objects, OWN_BUCKET)] == ["bundles/1"]
