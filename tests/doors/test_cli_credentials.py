"""`deconfuse credentials`: keys made, listed, printed and revoked, whether or not a server is at work."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deconfuse.server.home import Address, Home

Command = Callable[..., Any]

URL = "https://labels.example.org:8750"


@pytest.fixture
def home(deconfuse: Command, tmp_path: Path) -> Path:
    """A home with one full key, from which a server was once reached at http://127.0.0.1:8750 in eu-west-1."""
    path = tmp_path / "home"
    assert deconfuse("credentials", "create", "--home", path, "--note", "first").code == 0
    Home(path).write_address(Address("http://127.0.0.1:8750", "http://127.0.0.1:8750", "eu-west-1"))
    return path


def listed(deconfuse: Command, home: Path, *flags: str) -> list[dict[str, Any]]:
    """The keys, as JSON."""
    found: list[dict[str, Any]] = json.loads(
        deconfuse("credentials", "list", "--home", home, "--format", "json", *flags).out
    )
    return found


def test_env_is_export_lines_and_nothing_else(deconfuse: Command, home: Path) -> None:
    """Six variables in the form that every shell reads."""
    answer = deconfuse("credentials", "--home", home)
    key = listed(deconfuse, home)[0]["id"]
    lines = answer.out.splitlines()

    assert (answer.code, answer.err) == (0, "")
    assert [line.partition("=")[0] for line in lines] == [
        "export AWS_ACCESS_KEY_ID",
        "export AWS_SECRET_ACCESS_KEY",
        "export AWS_DEFAULT_REGION",
        "export AWS_REGION",
        "export AWS_ENDPOINT_URL_REKOGNITION",
        "export AWS_ENDPOINT_URL_S3",
    ]
    assert lines[0].endswith(f"={key}")
    assert lines[2:] == [
        "export AWS_DEFAULT_REGION=eu-west-1",
        "export AWS_REGION=eu-west-1",
        "export AWS_ENDPOINT_URL_REKOGNITION=http://127.0.0.1:8750",
        "export AWS_ENDPOINT_URL_S3=http://127.0.0.1:8750",
    ]


def test_aws_config_is_one_block(deconfuse: Command, home: Path) -> None:
    """Profile and services, to the letter; no endpoint for all services."""
    key = json.loads(deconfuse("credentials", "--home", home, "--format", "json").out)
    answer = deconfuse("credentials", "--home", home, "--format", "aws-config")

    assert answer.out == (
        "[profile custom-labels-access]\n"
        "region = eu-west-1\n"
        f"aws_access_key_id = {key['AccessKeyId']}\n"
        f"aws_secret_access_key = {key['SecretAccessKey']}\n"
        "services = deconfuse\n"
        "\n"
        "[services deconfuse]\n"
        "rekognition =\n"
        "  endpoint_url = http://127.0.0.1:8750\n"
        "s3 =\n"
        "  endpoint_url = http://127.0.0.1:8750\n"
    )


def test_json_has_a_documented_form(deconfuse: Command, home: Path) -> None:
    """That of credential_process, and the address."""
    answer = json.loads(deconfuse("credentials", "--home", home, "--format", "json").out)

    assert (answer["Version"], answer["Access"], answer["Region"]) == (1, "full", "eu-west-1")
    assert len(answer["AccessKeyId"]) == 20
    assert len(answer["SecretAccessKey"]) == 40
    assert answer["EndpointUrl"] == answer["S3EndpointUrl"] == "http://127.0.0.1:8750"


def test_another_address_may_be_told(deconfuse: Command, home: Path) -> None:
    """That of a proxy in front, for instance."""
    out = deconfuse("credentials", "--home", home, "--endpoint-url", URL).out

    assert f"AWS_ENDPOINT_URL_REKOGNITION={URL}\n" in out
    assert f"AWS_ENDPOINT_URL_S3={URL}\n" in out
    assert deconfuse("credentials", "--home", home, "--endpoint-url", f"{URL}/").out == out


def test_a_shell_reads_every_value(deconfuse: Command, home: Path) -> None:
    """An address with characters that mean something to a shell stays one word."""
    odd = "http://h$(touch${IFS}harm)'\";x"
    out = deconfuse("credentials", "--home", home, "--endpoint-url", odd).out
    told = subprocess.run(["sh", "-c", f'{out}printf %s "$AWS_ENDPOINT_URL_S3"'], capture_output=True, check=True)

    assert told.stdout.decode() == odd
    assert shlex.quote(odd) in out


def test_the_first_key_is_printed_until_it_is_revoked(deconfuse: Command, home: Path) -> None:
    """Then the oldest full one; a read-only key is printed when it is asked for."""
    reader = deconfuse("credentials", "create", "--home", home, "--read-only").out.split()[0]
    second = deconfuse("credentials", "create", "--home", home).out.split()[0]
    first = listed(deconfuse, home)[0]["id"]

    assert f"={first}\n" in deconfuse("credentials", "--home", home).out
    assert deconfuse("credentials", "revoke", first, "--home", home).code == 0
    assert f"={second}\n" in deconfuse("credentials", "--home", home).out
    assert f"={reader}\n" in deconfuse("credentials", "--home", home, "--key-id", reader).out


def test_the_key_in_the_file_comes_first(deconfuse: Command, home: Path) -> None:
    """As long as it is in use; a file that cannot be read is none."""
    second = deconfuse("credentials", "create", "--home", home).out.split()[0]
    (home / "credentials").write_text(f"[custom-labels-access]\naws_access_key_id = {second}\n")
    chosen = deconfuse("credentials", "--home", home).out
    (home / "credentials").write_bytes(b"\xff\xfe[")

    assert f"={second}\n" in chosen
    assert deconfuse("credentials", "--home", home).code == 0


def test_the_file_goes_with_its_key(deconfuse: Command, home: Path) -> None:
    """What it would say when the key is worth nothing misleads; the end of another key leaves it alone."""
    first, second = (deconfuse("credentials", "create", "--home", home).out.split()[0] for _ in range(2))
    (home / "credentials").write_text(f"[custom-labels-access]\naws_access_key_id = {first}\n")
    deconfuse("credentials", "revoke", second, "--home", home)
    kept = (home / "credentials").exists()
    deconfuse("credentials", "revoke", first, "--home", home)

    assert (kept, (home / "credentials").exists()) == (True, False)


def test_a_new_key_is_printed_with_its_secret(deconfuse: Command, home: Path) -> None:
    """Identifier and secret, or in one of the forms; it is in the list, without its secret."""
    answer = deconfuse("credentials", "create", "--home", home, "--note", "prometheus", "--read-only")
    key_id, secret = answer.out.split()
    row = listed(deconfuse, home)[-1]

    assert (len(key_id), len(secret)) == (20, 40)
    assert (row["id"], row["access"], row["note"], row["revoked"]) == (key_id, "read", "prometheus", None)
    assert secret not in deconfuse("credentials", "list", "--home", home).out
    assert deconfuse("credentials", "create", "--home", home, "--format", "aws-config").out.startswith("[profile ")


def test_revoked_keys_are_listed_when_asked(deconfuse: Command, home: Path) -> None:
    """With the time at which they became worthless."""
    key_id = deconfuse("credentials", "create", "--home", home).out.split()[0]
    deconfuse("credentials", "revoke", key_id, "--home", home)
    table = deconfuse("credentials", "list", "--home", home, "--all").out

    assert key_id not in [row["id"] for row in listed(deconfuse, home)]
    assert listed(deconfuse, home, "--all")[-1]["revoked"] is not None
    assert f"{key_id}  full" in table
    assert "revoked 20" in table


def test_a_note_cannot_steer_the_terminal(deconfuse: Command, home: Path) -> None:
    """Whoever makes a key may write anything; whoever lists them must not suffer."""
    deconfuse("credentials", "create", "--home", home, "--note", "\x1b[2Jgone")

    assert "\x1b" not in deconfuse("credentials", "list", "--home", home).out


def test_home_may_stand_before_or_behind(deconfuse: Command, home: Path) -> None:
    """`credentials --home H list` and `credentials list --home H` are the same; the inner one wins."""
    assert deconfuse("credentials", "--home", home, "list").out == deconfuse("credentials", "list", "--home", home).out
    assert deconfuse("credentials", "--home", "nowhere", "list", "--home", home).code == 0


def test_the_home_may_come_from_the_environment(
    deconfuse: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every setting."""
    monkeypatch.setenv("DECONFUSE_HOME", str(home))

    assert deconfuse("credentials").out == deconfuse("credentials", "--home", home).out


def test_the_default_home_is_where_data_is_kept(
    deconfuse: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$XDG_DATA_HOME/deconfuse."""
    home.rename(tmp_path / "deconfuse")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert deconfuse("credentials").code == 0


def test_nothing_is_kept_but_the_database(deconfuse: Command, tmp_path: Path) -> None:
    """Keys have nothing to do with objects, and files of the user are never edited."""
    deconfuse("credentials", "create", "--home", tmp_path / "home")

    assert {path.name for path in (tmp_path / "home").iterdir()} == {"deconfuse.db", "lock"}
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "home" / "deconfuse.db").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--home", "nowhere"], 3, "`deconfuse serve` makes it"),
        (["list", "--home", "nowhere"], 3, "home not found"),
        (["revoke", "AKIA", "--home", "nowhere"], 3, "home not found"),
        (["revoke", "AKIA", "--home", "HOME"], 3, "AKIA"),
        (["revoke", "", "--home", "HOME"], 3, "key not found"),
        (["revoke", "\udcff", "--home", "HOME"], 3, "key not found"),
        (["revoke", "--home", "HOME"], 2, "KEY_ID"),
        (["--key-id", "AKIA", "--home", "HOME"], 3, "key not found: AKIA"),
        (["--format", "xml", "--home", "HOME"], 2, "xml"),
        (["create", "--note", "x" * 256, "--home", "HOME"], 2, "255"),
        (["create", "--home", "file"], 6, "file"),
        (["nonsense", "--home", "HOME"], 2, "nonsense"),
        (["--endpoint-url", "garbage", "--home", "HOME"], 2, "https://labels.example.org"),
        (["create", "--format", "env", "--endpoint-url", "https://a/b", "--home", "HOME"], 2, "https://a/b"),
        (["--home", ""], 2, "it is empty"),
        (["--database", "mysql://me:hush@x", "list"], 2, "postgresql://"),
    ],
)
def test_what_cannot_be_done_is_said(
    deconfuse: Command, home: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    """By the exit code and a sentence; nothing is made."""
    (tmp_path / "file").write_text("")
    answer = deconfuse("credentials", *[str(home) if word == "HOME" else word for word in words])

    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert "hush" not in answer.err
    assert not (tmp_path / "nowhere").exists()


def test_an_address_must_be_known(deconfuse: Command, tmp_path: Path) -> None:
    """Before the first serve there is none; and no key is made whose address cannot be printed."""
    home = tmp_path / "home"
    refused = deconfuse("credentials", "create", "--home", home, "--format", "env")
    deconfuse("credentials", "create", "--home", home)

    assert (refused.code, "--endpoint-url" in refused.err) == (3, True)
    assert len(listed(deconfuse, home)) == 1
    assert deconfuse("credentials", "--home", home).code == 3
    assert deconfuse("credentials", "--home", home, "--endpoint-url", URL).code == 0


def test_a_damaged_address_is_none(deconfuse: Command, home: Path) -> None:
    """It says what to give instead."""
    (home / "address").write_text("{")
    answer = deconfuse("credentials", "--home", home)

    assert (answer.code, "--endpoint-url" in answer.err) == (3, True)


def test_without_a_full_key_the_way_out_is_told(deconfuse: Command, home: Path) -> None:
    """Every key may be revoked."""
    deconfuse("credentials", "revoke", listed(deconfuse, home)[0]["id"], "--home", home)
    answer = deconfuse("credentials", "--home", home)

    assert (answer.code, "credentials create" in answer.err) == (3, True)
