"""What holds for every test."""

from __future__ import annotations

import signal

from hypothesis import settings


def pytest_configure() -> None:
    """A shell that runs us in the background makes us ignore its signals, and so would all that a test starts."""
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    # How long an example takes says more of the machine than of the code.
    settings.register_profile("steady", deadline=None)
    settings.load_profile("steady")
