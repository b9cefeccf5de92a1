"""Whether a SQLite file lies where its locks and its shared memory work.

SQLite's write-ahead log needs memory that all processes share, which machines can't; and without working locks two
writers destroy the file. So a share is used without the log, and what has no locks at all is refused.
"""

import ctypes
import dataclasses
import enum
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

_SHARES = {
    *("nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "webdav", "9p", "virtiofs", "vboxsf"),
    *("ceph", "fuse.ceph", "glusterfs", "fuse.glusterfs", "lustre", "gpfs", "beegfs", "afs", "coda", "gfs2", "ocfs2"),
    *("prl_fs", "fuse.vmhgfs-fuse", "panfs", "orangefs"),
}
_WITHOUT_LOCKS = {
    *("fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.davfs", "davfs", "fuse.gcsfuse", "fuse.curlftpfs"),
    *("fuse.mount-s3", "fuse.blobfuse", "fuse.blobfuse2", "fuse.goofys", "macfuse", "osxfuse"),
}
_DRIVE_REMOTE = 4
_STATFS_BYTES, _TYPE_AT, _TYPE_BYTES = 2168, 72, 16  # of macOS' struct statfs with 64-bit inodes


class Placement(enum.Enum):
    """What SQLite can rely on where a file lies."""

    LOCAL = "local"
    SHARE = "share"
    WITHOUT_LOCKS = "without locks"


@dataclasses.dataclass(frozen=True)
class Mount:
    """A place in the tree of folders, and the type of the file system that begins there."""

    point: str
    kind: str


def placement_of(path: Path) -> Placement:
    """Where the file or folder ``path``, which need not exist, lies."""
    absolute = path.absolute()
    if sys.platform == "win32":
        return windows_placement(str(absolute), _windows_drive_type(absolute.anchor))
    resolved = Path(os.path.realpath(absolute))
    if sys.platform == "darwin":
        return placement_on(_macos_type(resolved))
    try:
        mounts = mounts_in(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        return Placement.LOCAL
    return placement_on(type_at(str(resolved), mounts))


def placement_on(kind: str) -> Placement:
    """What the file system type ``kind`` (of Linux or macOS) means."""
    name = kind.lower()
    if name in _WITHOUT_LOCKS:
        return Placement.WITHOUT_LOCKS
    return Placement.SHARE if name in _SHARES else Placement.LOCAL


def windows_placement(path: str, drive_type: int) -> Placement:
    r"""What a Windows path means: ``\\server\share`` and drives that GetDriveTypeW calls remote are shares."""
    named = path.replace("/", "\\")
    is_unc = named.startswith("\\\\?\\UNC\\") or (named.startswith("\\\\") and named[2:3] not in ("?", "."))
    return Placement.SHARE if is_unc or drive_type == _DRIVE_REMOTE else Placement.LOCAL


def mounts_in(mountinfo: str) -> list[Mount]:
    """The mounts in the text of Linux' /proc/self/mountinfo."""
    mounts = []
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        if separator and len(before.split()) >= 5 and after.split():
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
            mounts.append(Mount(point, after.split()[0]))
    return mounts


def type_at(path: str, mounts: Iterable[Mount]) -> str:
    """The file system type at the resolved ``path``, empty where no mount holds it; of two mounts at one place the
    later covers the earlier."""
    deepest = Mount("", "")
    for mount in mounts:
        holds = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if holds and len(mount.point) >= len(deepest.point):
            deepest = mount
    return deepest.kind


def macos_type_in(statfs: bytes) -> str:
    """The file system's type in the bytes that macOS' statfs fills."""
    return statfs[_TYPE_AT : _TYPE_AT + _TYPE_BYTES].split(b"\0", 1)[0].decode("ascii", "replace")


def _macos_type(path: Path) -> str:
    existing = next(place for place in (path, *path.parents) if place.exists())
    filled = ctypes.create_string_buffer(_STATFS_BYTES)
    system = ctypes.CDLL(None)
    statfs = getattr(system, "statfs$INODE64", None) or system.statfs
    return macos_type_in(filled.raw) if statfs(os.fsencode(existing), filled) == 0 else ""


def _windows_drive_type(anchor: str) -> int:
    windows = getattr(ctypes, "windll", None)
    return int(windows.kernel32.GetDriveTypeW(anchor)) if windows is not None else 0
