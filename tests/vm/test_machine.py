"""The machine itself: that the tests beside this one run on a kernel that has what they are about."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from fastesp.lab import Lab
from fastesp.lab.vm import CACHED, PROJECT

pytestmark = [pytest.mark.root, pytest.mark.vm]


def test_the_kernel_is_debians_and_not_the_hosts() -> None:
    assert platform.release().endswith("-amd64")
    assert "virtme" in Path("/proc/cmdline").read_text()


def test_programs_and_modules_come_from_files_that_are_cached() -> None:
    """Without it each start of a program reads all of it anew from outside, and this part takes twice as long."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    cached = {place for source, place, kind, *_ in mounts if (source, kind) == (CACHED, "9p")}
    assert {"/usr", str(PROJECT)} <= cached


def test_the_kernel_takes_an_esp_state_and_a_policy(lab: Lab) -> None:
    space = lab.namespace("alone")
    ends = ["src", "192.0.2.1", "dst", "192.0.2.2"]
    key = "0x" + bytes(range(36)).hex()
    space.ip(
        "xfrm",
        "state",
        "add",
        *ends,
        "proto",
        "esp",
        "spi",
        "0xc0ffee",
        "mode",
        "tunnel",
        "aead",
        "rfc4106(gcm(aes))",
        key,
        "128",
    )
    assert "rfc4106(gcm(aes))" in space.ip("xfrm", "state")
