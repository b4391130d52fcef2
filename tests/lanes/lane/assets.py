"""Where the guest kernel and the disk image come from. Both are made at most once and kept in ~/.cache/floe-lanes."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from .log import log

HERE = Path(__file__).resolve().parent.parent
REPOSITORY = HERE.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "floe-lanes"
PREBUILT_KERNEL = REPOSITORY.parent / "shared/tools/test-hosts/linux-uml.xz"
IMAGES_KEPT = 2


class AssetError(Exception):
    """A kernel or an image cannot be had; the message says what to do."""


def kernel():
    """The guest kernel: $FLOE_UML_KERNEL, the prebuilt one beside the repository, the cache, or a build that takes minutes."""
    named = os.environ.get("FLOE_UML_KERNEL")
    if named:
        if not os.access(named, os.X_OK):
            raise AssetError(f"FLOE_UML_KERNEL={named} is not an executable file")
        return Path(named)
    if PREBUILT_KERNEL.is_file():
        target = CACHE / f"linux-{_digest([PREBUILT_KERNEL])}"
        return _make(target, "unpack the guest kernel", lambda out: _unpack(PREBUILT_KERNEL, out))
    target = CACHE / f"linux-{_digest([HERE / 'kernel.sh', HERE / 'uml.config'])}"
    return _make(target, "build the guest kernel (about 14 CPU minutes)", lambda out: _script(HERE / "kernel.sh", out))


def image():
    """The disk image for the recipe in ./image as it is now."""
    recipe = sorted(path for path in (HERE / "image").rglob("*") if path.is_file())
    target = CACHE / f"image-{_digest(recipe)}.ext4"
    made = _make(target, "build the disk image", lambda out: _script(HERE / "image/build.sh", out))
    _forget_old_images(made)
    return made


def _digest(files):
    """A short hash of the files' names, modes and contents."""
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.name} {path.stat().st_mode & 0o111:o} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _make(target, what, make):
    """Returns `target`; makes it first when it is missing. Two runs at once make it once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            # When it was used last. When it was written stays: a machine of another run that starts again looks at that, and boots from no other.
            os.utime(target, ns=(time.time_ns(), target.stat().st_mtime_ns))
            return target
        with log.nested(what):
            unfinished = target.with_name(target.name + ".part")
            make(unfinished)
            unfinished.rename(target)
    return target


def _unpack(source, out):
    with open(out, "wb") as file:
        subprocess.run(["xz", "--decompress", "--stdout", str(source)], stdout=file, check=True)
    out.chmod(0o755)


def _script(script, out):
    done = subprocess.run([str(script), str(out)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise AssetError(f"{script.relative_to(REPOSITORY)} failed with status {done.returncode}:\n{done.stdout[-4000:]}")


def _forget_old_images(current):
    images = sorted(CACHE.glob("image-*.ext4"), key=lambda path: path.stat().st_atime, reverse=True)
    for old in images[IMAGES_KEPT:]:
        if old != current:
            old.unlink(missing_ok=True)


def missing_tools():
    """Debian packages that the lane needs and the machine lacks."""
    needed = {"ip": "iproute2", "unshare": "util-linux", "mount": "mount", "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "xz": "xz-utils"}
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return sorted({package for tool, package in needed.items() if shutil.which(tool, path=path) is None})
