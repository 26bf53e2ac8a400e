"""Builds the Cython engine, and the BPF object where clang and libbpf's headers are there.

FASTESP_BUILD=sanitize builds every extension under AddressSanitizer and UBSan, bounds-checked;
FASTESP_BUILD=trace adds line tracing. Unset is the release flavour.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
FLAVOUR = os.environ.get("FASTESP_BUILD", "release")

LIBRARIES = {
    "fastesp.engine.aead_ipsecmb": ["IPSec_MB"],
    "fastesp.engine.stopwatch_ipsecmb": ["IPSec_MB"],
    "fastesp.steering.steer": ["bpf"],
}
DEFAULT_LIBRARIES = ["crypto"]
OPTIONAL = {
    "fastesp.engine.aead_ipsecmb": Path("/usr/include/intel-ipsec-mb.h"),
    "fastesp.engine.stopwatch_ipsecmb": Path("/usr/include/intel-ipsec-mb.h"),
    "fastesp.steering.steer": Path("/usr/include/bpf/libbpf.h"),
}
"""Extensions that are left out, with a word, where the header they need is not installed."""

COMPILE = {
    "release": ["-O3", "-fno-strict-aliasing", "-fno-plt"],
    "trace": ["-O1", "-g"],
    "sanitize": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
}
LINK = {"release": [], "trace": [], "sanitize": ["-fsanitize=address,undefined"]}


def extensions() -> list[Extension]:
    """One extension a ``.pyx`` file below ``fastesp/``, named for its path."""
    found = []
    for source in sorted((ROOT / "fastesp").rglob("*.pyx")):
        relative = source.relative_to(ROOT)
        name = ".".join(relative.with_suffix("").parts)
        header = OPTIONAL.get(name)
        if header is not None and not header.exists():
            print(f"{name}: {header} is not installed; built without it", file=sys.stderr)
            continue
        found.append(
            Extension(
                name,
                [str(relative)],
                include_dirs=[numpy.get_include(), "bpf"],
                libraries=LIBRARIES.get(name, []) + DEFAULT_LIBRARIES,
                extra_compile_args=["-Wno-unused-function", *COMPILE[FLAVOUR]],
                extra_link_args=LINK[FLAVOUR],
                define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
            )
        )
    return found


class BuildWithBpf(build_ext):
    """Extensions first, then ``steer.bpf.o`` into ``fastesp/steering`` where the tools are there."""

    def run(self) -> None:
        super().run()
        source = ROOT / "bpf" / "steer.bpf.c"
        if not source.exists():
            return
        clang = shutil.which("clang")
        if clang is None or not Path("/usr/include/bpf/bpf_helpers.h").exists():
            print("steer.bpf.o: clang or libbpf-dev is not installed; built without steering", file=sys.stderr)
            return
        package = ROOT if self.inplace else Path(self.build_lib)
        target = package / "fastesp" / "steering" / "steer.bpf.o"
        target.parent.mkdir(parents=True, exist_ok=True)
        arch = f"-I/usr/include/{os.uname().machine}-linux-gnu"
        command = [clang, "-O2", "-g", "-Wall", "-target", "bpf", arch, "-c", str(source), "-o", str(target)]
        subprocess.run(command, check=True)


setup(
    ext_modules=cythonize(
        extensions(),
        language_level=3,
        nthreads=os.cpu_count() or 1,
        compiler_directives={
            "boundscheck": FLAVOUR != "release",
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
            "linetrace": FLAVOUR == "trace",
        },
        force=FLAVOUR != "release",
        # Another flavour's C is another C: it does not replace the release's beside the sources.
        build_dir=None if FLAVOUR == "release" else f"build/{FLAVOUR}/c",
    ),
    cmdclass={"build_ext": BuildWithBpf},
)
