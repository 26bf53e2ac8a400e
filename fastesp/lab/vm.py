"""A virtual machine on this machine's file system: a Debian kernel with ESP, AH, XFRM and WireGuard to test against.

Booted by virtme-ng under emulation, about half a minute until the command runs. The root file system is read-only in
there but for one shared directory, which is how results come back.
"""

from __future__ import annotations

import atexit
import compileall
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import LabError
from .topology import unwind_on_signals

CACHED = "cached"
"""Tag and mount point of the same files once more, with a cache: what is started a second time is not read again."""

MODULES = ("esp4", "esp6", "ah4", "ah6", "xfrm_user", "veth", "tun", "nf_tables", "algif_aead")
MEMORY = "2G"
PROJECT = Path(__file__).resolve().parent.parent.parent


def kernel() -> Path:
    """The newest Debian kernel that is installed; raises :class:`LabError` where there is none."""
    images = sorted(Path("/boot").glob("vmlinuz-*-amd64"), key=lambda image: image.stat().st_mtime)
    if not images:
        raise LabError(
            "no kernel for the virtual machine in /boot; `ci/setup-machine.sh vm` installs linux-image-amd64"
        )
    return images[-1]


class VirtualMachine:
    """One boot that runs one command. ``shared`` is writable inside, at the same path; ``console`` keeps all output."""

    def __init__(self, shared: Path, *, cpus: int = 2, instruction_time: bool = False) -> None:
        self.shared = shared
        self.console = shared / "console.log"
        self.cpus = cpus
        self.instruction_time = instruction_time
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Boot, and run ``argv`` in the project's directory as root."""
        unwind_on_signals()
        atexit.register(self.stop)
        compile_sources()
        assigned = [f"{key}={value}" for key, value in (environment or {}).items()]
        script = self.shared / "run.sh"
        script.write_text(
            "ulimit -l unlimited\n"
            f"{_with_a_cache()}"
            f"for module in {' '.join(MODULES)}; do modprobe $module; done\n"
            f"cd {shlex.quote(str(PROJECT))}\n"
            f"env {shlex.join([*assigned, *argv])}\n"
            f"echo $? > {shlex.quote(str(self.shared / 'exit-code'))}\n"
        )
        self._child = subprocess.Popen(
            self._command(script),
            stdin=subprocess.DEVNULL,
            stdout=self.console.open("wb"),
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"},
            start_new_session=True,
        )

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child is not None and self._child.poll() is None

    def wait(self, timeout: float) -> int:
        """Wait for the command's end; its exit code."""
        assert self._child is not None, "start it first"
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired as late:
            self.stop()
            raise LabError(f"the virtual machine is not done after {timeout:g} s:\n{self.tail()}") from late
        code = self.shared / "exit-code"
        if not code.exists():
            raise LabError(f"the virtual machine ended before its command did:\n{self.tail()}")
        return int(code.read_text())

    def stop(self) -> None:
        """Switch it off: virtme-ng, the emulator and all that they started are one process group."""
        if self._child is not None and self._child.poll() is None:
            os.killpg(self._child.pid, 9)
            self._child.wait()

    def tail(self, lines: int = 40) -> str:
        """The end of what the console showed."""
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _command(self, script: Path) -> list[str]:
        vng = shutil.which("vng", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if vng is None:
            raise LabError("vng: not installed; pip's virtme-ng brings it (`make build`)")
        # KVM does not take this kernel on every host that offers it: emulation runs, and runs the same, everywhere.
        words = [vng, "-r", str(kernel()), "--disable-kvm", "--force-9p", "--cpus", str(self.cpus), "--memory", MEMORY]
        words += ["--rwdir", str(self.shared), "--exec", f"bash {shlex.quote(str(script))}"]
        shared = f"local,id={CACHED},path=/,security_model=none,readonly=on,multidevs=remap"
        words.append(f"--qemu-opts=-fsdev {shared} -device virtio-9p-pci,fsdev={CACHED},mount_tag={CACHED}")
        if self.instruction_time:
            # Guest time advances 1 ns an instruction: throughput then counts instructions, whatever else runs here.
            words.append("--qemu-opts=-icount shift=0")
        return words


def _with_a_cache() -> str:
    """Lines of the script that put the cached files in the place of those that programs and Python come from.

    virtme-ng mounts its root without a cache: each start of a program, and each import, reads all of it anew.
    """
    options = f"version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose,ro {CACHED}"
    places = dict.fromkeys(str(place) for place in (Path("/usr"), PROJECT, Path(sys.prefix).resolve()))
    return (
        f"mkdir -p /run/{CACHED} && mount -t 9p -o {options} /run/{CACHED}\n"
        f"for place in {shlex.join(places)}; do mount --bind /run/{CACHED}$place $place; done\n"
    )


def compile_sources() -> None:
    """Byte-compile what will be imported in there: nothing can be written inside, and compiling is slow there."""
    for directory in ("ike", "fastesp", "tests"):
        compileall.compile_dir(PROJECT / directory, quiet=2)
