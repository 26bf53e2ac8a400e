"""Steering by SPI: loads the programs of ``bpf/`` and owns their maps.

:mod:`.steer` is there where libbpf was installed at build time; ``OBJECT`` where clang was. Without either the
gateway works as well: packets then reach the engine through ordinary sockets.
"""

from pathlib import Path

OBJECT = Path(__file__).with_name("steer.bpf.o")
"""The prebuilt BPF object."""
