"""How long, how often, how many and in what order: an endpoint's manners in one value, with strongSwan's names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Times in seconds, sizes in bytes. The names are strongswan.conf's below ``charon``.

    A request is sent again after ``retransmit_timeout * retransmit_base ** n`` seconds, ``retransmit_tries`` times; the
    wait after the last try ends the attempt: 4, 7, 13, 23, 42 and 76 s, 165 s in all.
    """

    retransmit_timeout: float = 4.0
    retransmit_base: float = 1.8
    retransmit_tries: int = 5
    retransmit_limit: float = 0.0
    """No wait is longer than this; 0: no limit."""
    retransmit_jitter: int = 0
    """Percent up to which each wait is shortened at random, so that a thousand peers do not ask again all at once."""

    refusal_grace: float = 1.0
    """How long an unauthenticated refusal of IKE_SA_INIT waits for something better (RFC 7296 section 2.21.1)."""

    half_open_timeout: float = 30.0
    """A peer that asked for an IKE SA has this long to prove who it is."""
    cookie_threshold: int = 30
    """Half-open IKE SAs from which on every IKE_SA_INIT needs a cookie (RFC 7296 section 2.6)."""
    cookie_threshold_ip: int = 3
    """The same, counted for one source address. A source that returns its cookie is never blocked: 2,000 tunnels may
    stand behind one address."""
    half_open_limit: int = 50_000
    """Half-open IKE SAs from which on an IKE_SA_INIT is dropped, cookie or not; one source may have half of them."""

    fragment_size: int = 1280
    """The longest IP packet that an IKE message makes before it is cut into fragments (RFC 7383)."""
    max_message: int = 65_000
    """The longest message that is put together from fragments."""

    delete_timeout: float = 30.0
    """An IKE SA that was replaced and is not deleted by its peer is forgotten after this."""
    retry_interval: float = 5.0
    """Base of the wait after TEMPORARY_FAILURE (RFC 7296 section 2.25); up to as much again is added at random."""
    window_size: int = 1
    """Requests that we take from one peer at a time (RFC 7296 section 2.3); more than one is announced."""
    make_before_break: bool = False
    """Whether reauthentication deletes the old IKE SA only once the new one is up (RFC 7296 section 2.8.3)."""
    follow_redirects: bool = True
    """Whether a gateway may send us on to another one (RFC 5685)."""
    multiple_authentication: bool = True
    """Whether there may be several rounds of authentication (RFC 4739)."""
    max_children: int = 1024
    """CHILD_SAs of one IKE SA; one more is refused with NO_ADDITIONAL_SAS. Twice as many are allowed while they are
    replaced."""

    lookup_timeout: float = 10.0
    """So long a message waits for what is looked up elsewhere (CRL, OCSP, a certificate by its URL); then it is judged
    by what is known."""
    hash_and_url: bool = False
    """Follow peers' references to their certificates (RFC 7296 section 3.6)."""
    lookup_retry: float = 10.0
    """A look-up that failed is not tried again before."""

    def wait(self, tries: int, fraction: float = 0.0) -> float:
        """How long to wait for an answer once a request was sent ``tries`` + 1 times; ``fraction`` is the random part.

        The limit comes first, then the jitter: strongSwan's order.
        """
        seconds = self.retransmit_timeout * self.retransmit_base**tries
        if self.retransmit_limit:
            seconds = min(seconds, self.retransmit_limit)
        return seconds * (1 - fraction * min(self.retransmit_jitter, 100) / 100)


STRONGSWAN = Timing()
"""The defaults."""
