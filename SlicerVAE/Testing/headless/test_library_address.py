"""Where a library is, and whether SQLite can work there."""

from pathlib import Path

import pytest

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.library.address import FileAddress, ServerAddress, parse_address
from SlicerVAELib.library.network_share import (
    Placement,
    macos_type_in,
    mounts_in,
    placement_of,
    placement_on,
    type_at,
    windows_placement,
)

MOUNTS = r"""
21 1 254:1 / / rw,relatime - ext4 /dev/vda rw
30 21 0:25 / /home rw,relatime shared:5 - nfs4 server:/home rw,vers=4.2
31 30 254:7 / /home/local rw - xfs /dev/vdb rw
32 21 0:40 / /mnt/plans\040and\040doses rw master:2 propagate_from:1 - cifs //nas/plans rw
33 21 0:41 / /mnt/cloud rw - fuse.sshfs me@host: rw
34 21 0:42 / /data rw - ext4 /dev/vdc rw
35 21 0:43 / /data rw - nfs server:/data rw
a line that is none
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/library.sqlite", Placement.LOCAL),
        ("/home/anna/library.sqlite", Placement.SHARE),
        ("/home", Placement.SHARE),
        ("/homework/library.sqlite", Placement.LOCAL),
        ("/home/local/library.sqlite", Placement.LOCAL),
        ("/mnt/plans and doses/library.sqlite", Placement.SHARE),
        ("/mnt/cloud/library.sqlite", Placement.WITHOUT_LOCKS),
        ("/data/library.sqlite", Placement.SHARE),  # the later mount covers the earlier
    ],
)
def test_the_deepest_mount_decides_on_linux(path, expected):
    assert placement_on(type_at(path, mounts_in(MOUNTS))) is expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ext4", Placement.LOCAL),
        ("btrfs", Placement.LOCAL),
        ("tmpfs", Placement.LOCAL),
        ("apfs", Placement.LOCAL),
        ("", Placement.LOCAL),
        ("nfs", Placement.SHARE),
        ("smb3", Placement.SHARE),
        ("smbfs", Placement.SHARE),
        ("9p", Placement.SHARE),
        ("lustre", Placement.SHARE),
        ("davfs", Placement.WITHOUT_LOCKS),
    ],
)
def test_file_systems(kind, expected):
    assert placement_on(kind) is expected


@pytest.mark.parametrize(
    ("path", "drive_type", "expected"),
    [
        (r"C:\Users\anna\library.sqlite", 3, Placement.LOCAL),
        (r"\\?\C:\Users\anna\library.sqlite", 3, Placement.LOCAL),
        (r"Z:\library.sqlite", 4, Placement.SHARE),
        (r"\\nas\plans\library.sqlite", 1, Placement.SHARE),
        ("//nas/plans/library.sqlite", 1, Placement.SHARE),
        (r"\\?\UNC\nas\plans\library.sqlite", 1, Placement.SHARE),
    ],
)
def test_windows_shares(path, drive_type, expected):
    assert windows_placement(path, drive_type) is expected


def test_the_type_in_what_macos_fills():
    assert macos_type_in(bytes(72) + b"smbfs" + bytes(11) + b"/Volumes/nas" + bytes(2000)) == "smbfs"


def test_a_temporary_folder_is_local(tmp_path):
    assert placement_of(tmp_path / "not" / "there.sqlite") is Placement.LOCAL


def test_a_path_is_a_file():
    assert parse_address("/data/library.sqlite") == FileAddress(Path("/data/library.sqlite"))
    assert parse_address("sqlite:////data/library.sqlite") == FileAddress(Path("/data/library.sqlite"))
    assert parse_address(Path("a:b")) == FileAddress(Path("a:b").absolute())


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_server_is_shown_without_its_password(scheme):
    address = parse_address(f"{scheme}://anna:secret%21@db.example:5433/plans?password=secret!&sslmode=require")
    assert isinstance(address, ServerAddress)
    assert address.url.startswith("postgresql://anna:secret%21@")
    assert str(address) == "postgresql://anna@db.example:5433/plans"
    assert "secret" not in repr(address)


@pytest.mark.parametrize(
    "text", ["", "  ", "mysql://host/plans", "sqlite://", "postgresql://host", "postgresql://host:port/plans"]
)
def test_other_addresses_are_refused(text):
    with pytest.raises(UserError):
        parse_address(text)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("postgresql://anna:secret@host:5433/plans", "postgresql://anna@host:5433/plans"),
        ("postgres://host/plans", "postgresql://host/plans"),
        (
            "postgresql://anna:s%40cret@host/plans?sslmode=verify-full",
            "postgresql://anna@host/plans?sslmode=verify-full",
        ),
        ("postgresql:///plans?host=db&password=secret&sslpassword=secret", "postgresql:///plans?host=db"),
        ("/data/plans.sqlite", "/data/plans.sqlite"),
    ],
)
def test_what_may_be_kept_of_an_address(given, kept):
    address = parse_address(given)
    assert address.without_password == kept
    assert parse_address(kept) == parse_address(parse_address(kept).without_password)
