"""The environment: defaults that need nothing, and values that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from deconfuse.errors import Invalid
from deconfuse.settings import child_environment, read_settings, spelled


def test_nothing_needs_to_be_set() -> None:
    """An empty environment gives AWS's limits, a cache of the user's own and at least one thread."""
    settings = read_settings({})

    assert settings.threads >= 1
    assert settings.cache.is_absolute()
    assert (settings.region, settings.account) == ("us-east-1", "000000000000")
    assert (settings.manifest_max_lines, settings.manifest_max_labels) == (250_000, 250)
    assert (settings.manifest_min_side, settings.manifest_max_side) == (64, 4096)
    assert settings.manifest_max_image_bytes == 15 * 2**20


def test_everything_can_be_set() -> None:
    """Each name reaches its setting; blanks around a number do not matter, and ~ is the user's home."""
    numbers = ("THREADS", "MANIFEST_MAX_LINES", "MANIFEST_MAX_LABELS", "MANIFEST_MIN_SIDE", "MANIFEST_MAX_SIDE",
               "MANIFEST_MAX_IMAGE_BYTES")  # fmt: skip
    settings = read_settings(
        {"DECONFUSE_CACHE": "~/kept", "DECONFUSE_REGION": "eu-west-1", "DECONFUSE_ACCOUNT": "123456789012"}
        | {f"DECONFUSE_{name}": f" {number} " for number, name in enumerate(numbers, start=7)}
    )

    assert settings.cache == Path("~/kept").expanduser()
    assert (settings.region, settings.account) == ("eu-west-1", "123456789012")
    assert [getattr(settings, name.lower()) for name in numbers] == [7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "²", "1_000", "1e3"])
@pytest.mark.parametrize("name", ["DECONFUSE_THREADS", "DECONFUSE_MANIFEST_MAX_LABELS"])
def test_what_is_no_number_is_named(name: str, value: str) -> None:
    """The message says which variable, and what stands in it."""
    with pytest.raises(Invalid, match=name) as raised:
        read_settings({name: value})
    assert value in str(raised.value)


@pytest.mark.parametrize("value", ["1", "12345678901x", "1234567890123"])
def test_an_account_has_twelve_digits(value: str) -> None:
    """Anything else would make an ARN that is none."""
    with pytest.raises(Invalid, match="12 digits"):
        read_settings({"DECONFUSE_ACCOUNT": value})


@pytest.mark.parametrize("value", ["", "  "])
def test_blank_is_not_set(value: str) -> None:
    """A variable that a script left empty changes nothing."""
    names = ("CACHE", "THREADS", "REGION", "ACCOUNT", "MANIFEST_MAX_LINES")

    assert read_settings({f"DECONFUSE_{name}": value for name in names}) == read_settings({})


# The service


def test_a_server_needs_no_setting() -> None:
    """This machine alone, a port of its own, nothing open; AWS's quotas."""
    settings = read_settings({"XDG_DATA_HOME": "/data"})

    assert settings.home == Path("/data/deconfuse")
    assert (settings.host, settings.port, settings.domain) == ("127.0.0.1", 8750, "localhost")
    assert not any((settings.insecure, settings.metrics_open, settings.shared_home, settings.store_virtual_host))
    assert (settings.certificate, settings.certificate_key, settings.cors_origins) == (None, None, ())
    assert (settings.database, settings.store, settings.store_region) == ("", "", "us-east-1")
    assert (settings.max_projects, settings.max_versions, settings.max_trainings) == (100, 100, 2)


@pytest.mark.parametrize("value", ["relative", "", "~"])
def test_a_data_directory_that_is_no_whole_path_is_none(value: str) -> None:
    """As the XDG rules have it."""
    assert read_settings({"XDG_DATA_HOME": value}).home == read_settings({}).home


def test_everything_of_the_service_can_be_set() -> None:
    """Each name reaches its setting."""
    settings = read_settings(
        {
            f"DECONFUSE_{name}": value
            for name, value in {
                "HOME": "~/home", "HOST": "::1", "PORT": "0", "CERTIFICATE": "c.pem", "CERTIFICATE_KEY": "k.pem",
                "INSECURE": "yes", "DOMAIN": "s3.example.org", "METRICS_OPEN": "TRUE",
                "CORS_ORIGINS": "https://a.example, http://b.example:81 ,*", "DATABASE": "postgresql://me:hush@h/n",
                "SHARED_HOME": "on", "STORE": "s3://box/p/q/", "STORE_ENDPOINT": "http://h:9000",
                "STORE_REGION": "eu-1",
                "STORE_KEY_ID": "me", "STORE_SECRET": "hush", "STORE_VIRTUAL_HOST": "1", "TRAININGS": "3",
                "MODELS": "4", "MAX_COPIES": "0", "MAX_RUNNING": "5", "MAX_UNITS": "6", "MAX_POLICIES": "7",
                "MAX_DETECT_BYTES": "8",
            }.items()
        }
    )  # fmt: skip

    assert settings.home == Path("~/home").expanduser()
    assert (settings.host, settings.port, settings.domain) == ("::1", 0, "s3.example.org")
    assert (settings.certificate, settings.certificate_key) == (Path("c.pem"), Path("k.pem"))
    assert settings.insecure
    assert settings.metrics_open
    assert settings.shared_home
    assert settings.store_virtual_host
    assert settings.cors_origins == ("https://a.example", "http://b.example:81", "*")
    assert (settings.store, settings.store_endpoint, settings.store_region) == (
        "s3://box/p/q/",
        "http://h:9000",
        "eu-1",
    )
    assert (settings.trainings, settings.models, settings.max_copies, settings.max_running) == (3, 4, 0, 5)
    assert (settings.max_units, settings.max_policies, settings.max_detect_bytes) == (6, 7, 8)
    assert "hush" not in repr(settings)


def test_a_flag_wins_and_is_named() -> None:
    """What the user wrote stands in the message: the flag, or the variable."""
    both = read_settings({"DECONFUSE_PORT": "1"}, given={"DECONFUSE_PORT": "2"})
    with pytest.raises(Invalid, match=r"^--port: "):
        read_settings({"DECONFUSE_PORT": "1"}, given={"DECONFUSE_PORT": "x"})
    with pytest.raises(Invalid, match=r"^DECONFUSE_PORT: "):
        read_settings({"DECONFUSE_PORT": "x"}, given={"DECONFUSE_HOST": "localhost"})

    assert both.port == 2
    assert spelled("DECONFUSE_CERTIFICATE_KEY", {"DECONFUSE_CERTIFICATE_KEY": "k.pem"}) == "--key"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"), ("PORT", "-1"), ("PORT", "80.0"), ("INSECURE", "2"), ("METRICS_OPEN", "y"),
        ("DOMAIN", "-a"), ("DOMAIN", "a_b"), ("DOMAIN", "a." * 130), ("CORS_ORIGINS", "example.org"),
        ("CORS_ORIGINS", "https://a,null"), ("DATABASE", "postgres://h/n"), ("DATABASE", "h/n"),
        ("STORE", "s3://"), ("STORE", "s3://b/p?x"), ("STORE", "https://b/p"), ("STORE_ENDPOINT", "h:9000"),
        ("STORE", "s3://box/p//q"), ("STORE", "s3://box/p/../q"), ("STORE", "s3://box/."),
        ("STORE_ENDPOINT", "http://me:hush@h"), ("STORE_REGION", "Europe West"), ("REGION", "EU"), ("HOST", "a/b"),
        ("TRAININGS", "0"), ("MAX_PROJECTS", "-1"), ("MAX_DETECT_BYTES", "0"), ("HOME", "~nobody-has-this-name"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_named(name: str, value: str) -> None:
    """Whichever setting it is."""
    with pytest.raises(Invalid, match=f"^DECONFUSE_{name}: "):
        read_settings({f"DECONFUSE_{name}": value})


@pytest.mark.parametrize("name", ["DATABASE", "STORE", "STORE_ENDPOINT"])
def test_an_address_with_a_password_is_not_repeated(name: str) -> None:
    """Messages end up in logs."""
    with pytest.raises(Invalid) as raised:
        read_settings({f"DECONFUSE_{name}": "mysql://me:hush@h/n"})

    assert "hush" not in str(raised.value)


def test_a_child_reads_the_same_settings() -> None:
    """Whether they came as variables or as flags, and wherever it is started."""
    variables = {"DECONFUSE_REGION": "eu-west-1", "DECONFUSE_STORE_SECRET": "hush", "PATH": "/bin"}
    given = {"DECONFUSE_HOME": "here", "DECONFUSE_TRAININGS": "3"}
    settings = read_settings(variables, given=given)
    handed = child_environment(settings, given, variables)
    again = read_settings(handed)

    assert handed["PATH"] == "/bin"
    assert again.home == Path("here").absolute()
    assert (again.region, again.store_secret, again.trainings) == ("eu-west-1", "hush", 3)
    assert again.cache == settings.cache.absolute()
