"""A child may name as many networks as a message holds, and as many pairs as an SA carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastesp.config import ConfigurationError, load

TEXT = """connections {{
    a {{
        remote_addrs = 192.0.2.1
        local {{ auth = psk }}
        remote {{ auth = psk }}
        children {{
            n {{
                local_ts = {local}
                remote_ts = {remote}
            }}
        }}
    }}
}}
secrets {{ ike {{ secret = 0sAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= }} }}
"""


def problems(place: Path, local: int, remote: int) -> list[str]:
    """What is wrong with so many selectors on either side, less what is no mistake of theirs."""
    file = place / "swanctl.conf"
    sides = {
        side: ", ".join(f"10.{half}.{n // 256}.{n % 256}/32" for n in range(count))
        for half, (side, count) in enumerate((("local", local), ("remote", remote)))
    }
    file.write_text(TEXT.format(**sides))
    file.chmod(0o600)
    try:
        found = load(file).warnings
    except ConfigurationError as error:
        found = tuple(error.problems)
    return [str(problem).partition("swanctl.conf:")[2] for problem in found]


@pytest.mark.parametrize(("local", "remote"), [(255, 1), (15, 17)])
def test_as_many_as_fit_are_fine(tmp_path: Path, local: int, remote: int) -> None:
    assert problems(tmp_path, local, remote) == []


def test_more_than_a_message_holds_are_a_mistake(tmp_path: Path) -> None:
    assert problems(tmp_path, 1, 256) == [
        "9:17: remote_ts has 256 selectors, and a message holds 255 (RFC 7296 section 3.13) "
        "(make two children of it, or write networks that cover several)"
    ]


def test_more_pairs_than_an_sa_carries_are_a_warning(tmp_path: Path) -> None:
    assert problems(tmp_path, 16, 16) == [
        "9:17: warning: local_ts and remote_ts make 256 pairs, and an SA carries 255 "
        "(make two children of it, or write networks that cover several)"
    ]
