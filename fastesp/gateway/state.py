"""What has to outlive a crash of the gateway, in one directory: the secret of quick crash detection (RFC 6290).

Without it a peer could not tell our tokens of before from anybody's. It opens nothing: whoever reads it can make our
peers give up IKE SAs, and that alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
import tempfile
from pathlib import Path

from ike.sa.quick_crash import SECRET_LENGTH

logger = logging.getLogger("fastesp.daemon")

DIRECTORY = Path("/var/lib/fastesp")
VARIABLE = "STATE_DIRECTORY"
"""What systemd's ``StateDirectory=`` sets; of several directories the first is ours."""
SECRET_FILE = "quick-crash.secret"


def directory_of(option: Path | None) -> Path:
    """The option's directory, else systemd's, else the usual one."""
    if option is not None:
        return option
    named = os.environ.get(VARIABLE, "").split(":")[0]
    return Path(named) if named else DIRECTORY


def token_secret(option: Path | None) -> bytes | None:
    """The secret, made where there is none; ``None``, and a line in the log, where it cannot be kept."""
    path = directory_of(option) / SECRET_FILE
    try:
        return _read(path) or _make(path)
    except OSError as error:
        why = f"{error.filename or path}: {error.strerror}"
        logger.warning("quick crash detection is off, because its secret cannot be kept: %s (see --state)", why)
        return None


def _read(path: Path) -> bytes | None:
    """What the file holds; ``None`` where there is none, or where somebody else could have read or written it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        data = file.read(SECRET_LENGTH + 1)
    if len(data) != SECRET_LENGTH or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        logger.warning("%s is replaced: it has another length, owner or mode than we gave it", path)
        return None
    return data


def _make(path: Path) -> bytes:
    """A fresh one, whole or not at all: a crash in the middle leaves no half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = secrets.token_bytes(SECRET_LENGTH)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    return data
