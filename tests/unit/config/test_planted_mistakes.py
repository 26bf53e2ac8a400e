"""One file, more than twenty mistakes, one run: each is found with its line, its column and the way out.

A line that holds a mistake says so in its comment: ``#! column | message | hint``, in parts that must occur.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastesp.config import ConfigurationError, Problem, load

MISTAKES = """\
connections {
  first : bass {                      #! 11 | refers to 'bass', which does not exist | did you mean 'base'?
    version = 1                       #! 15 | 'version = 1' is refused: IKEv1 is dead | version = 0
    aggressive = yes                  #! 18 | 'aggressive = yes' is refused: IKEv1 | aggressive = no
    local_adrs = 192.0.2.1            #! 5 | unknown key 'local_adrs' | did you mean 'local_addrs'?
    remote_addrs = 192.0.2.256        #! 20 | '192.0.2.256' is neither an address | e.g. 203.0.113.10
    proposals = aes256-sha384-modp3072, aes256gcm16-prfsha384-modp3073   #! 63 | 'modp3073' | did you mean 'modp3072'?
    rekey_time = 4 hours              #! 18 | '4 hours' is not a time | units s, m, h, d
    dpd_delay = 30x                   #! 17 | '30x' is not a time | units s, m, h, d
    mobike = maybe                    #! 14 | 'maybe' is neither yes nor no | yes or no
    unique = replce                   #! 14 | 'replce' is not known here | did you mean 'replace'?
    pools = mobile                    #! 5 | 'pools' is refused: virtual addresses are | remove the line
    mark_in = 42                      #! 5 | unknown key 'mark_in' | it belongs into a child
    local {
      auth = pubkey
      certs = my-crt.pem              #! 15 | my-crt.pem': No such file | did you mean 'my-cert.pem'?
    }
    remote {
      auth = xauth-eap                #! 14 | auth = xauth-eap is refused: IKEv1 is dead | use psk, pubkey or eap
      cacert = ca.pem                 #! 7 | unknown key 'cacert' | did you mean 'cacerts'?
    }
    childern {                        #! 5 | unknown section 'childern' | did you mean 'children'?
    }
    children {
      net {
        local_ts = 10.1.0.0/33        #! 20 | '10.1.0.0/33' is no network | e.g. 10.1.0.0/16
        remote_ts = 10.2.0.0/16[tpc/80]    #! 21 | 'tpc' is no protocol | did you mean 'tcp'?
        esp_proposal = aes256gcm16    #! 9 | unknown key 'esp_proposal' | did you mean 'esp_proposals'?
        mode = tunel                  #! 16 | 'tunel' is not known here | did you mean 'tunnel'?
        start_action = route|begin    #! 24 | 'route|begin' is not known here | none, start, trap
        rekey_time = 2h
        life_time = 1h                #! 9 | rekey_time (7200) is not below life_time (3600) | raise life_time
        rekey_bytes = 1T              #! 23 | '1T' is not a size | units k, m, g
        ipcomp = yes                  #! 18 | 'ipcomp = yes' is refused | ipcomp = no
      }
    }
  }
  second {
    remote_addrs = %any
    proposals = aes128-sha1-modp1024  #! 17 | modp1024 | only for a peer that has nothing better
    local {
      auth = psk                      #! 7 | no ike secret for 'a.example.org' and | did you mean 'b.exmple.org'?
      id = a.example.org
    }
    remote {
      auth = psk
      id = b.example.org
    }
    children {
      same {
        local_ts = 10.1.0.0/16
        remote_ts = 10.1.0.0/16       #! 9 | local_ts and remote_ts are the same | behind the peer
        start_action = start          #! 9 | has no peer to start to: remote_addrs names no single | add an address
      }
      mixed {
        local_ts = 10.3.0.0/16
        remote_ts = 2001:db8::/32     #! 9 | local_ts is IPv4 and remote_ts is IPv6 | of the same family
      }
    }
  }
  third {
    local_addrs = 192.0.2.1
    remote_addrs = 2001:db8::1        #! 5 | local_addrs is IPv4 and remote_addrs is IPv6 | the same family
    local {
      certs = old-cert.pem            #! 15 | 'CN=old' expired on | renew it
      id = old.example.org            #! 7 | the certificate does not name 'old.example.org' | it names CN=old
    }
    local-2 {
      certs = lone-cert.pem           #! 15 | no private key belongs to the certificate 'CN=lone' | put it into private
    }
    remote {
      id = "CN=site-b"
      id = "CN=site-c"                #! 7 | 'id' was given before, on line 72 | keep one of them
    }
    children {
      net {
        local_ts = 10.4.0.1/16        #! 20 | '10.4.0.1/16' has host bits set | write 10.4.0.0/16
        remote_ts = 10.5.0.0/16
        replay_window = 0             #! 9 | replayed packets are accepted | 32 or more
      }
    }
  }
}
secrets {
  ike-1 {                             #! 3 | 'ike-1' has no 'secret' | add: secret
    id = x.example.org
  }
  ike-2 {
    id = b.exmple.org
    secret = 0xABCDEFGH               #! 14 | the secret is not valid hexadecimal | mend it
  }
  ike-3 {
    id = b.exmple.org
    secret = 0123456#89abcdef         #! 21 | the value of 'secret' ends at '#' | in quotes
  }
  private-1 {                         #! 3 | 'private-1' has no 'file' | it names the file
    secret = sesame
  }
  token-1 {                           #! 3 | 'token-1' is refused: keys and certificates come from files | remove it
    handle = 42
  }
}
pools {
  mobiles {
    addrs = 10.9.0.0/24
    dsn = 10.9.0.1                    #! 5 | unknown key 'dsn' | did you mean 'dns'?
  }
  others {
    addrs = 10.9.0.128/25             #! 5 | pool 'others' overlaps pool 'mobiles' | its own addresses
  }
}
conections {                          #! 1 | unknown section 'conections' | did you mean 'connections'?
}
base {                                #! 1 | section 'base' has no meaning | refer to it
}
"""

EXPECTED = [
    (number, *(part.strip() for part in mark.split(" | ")))
    for number, line in enumerate(MISTAKES.splitlines(), 1)
    for mark in re.findall(r"#! (.*)", line)
]


@pytest.fixture
def problems(site, make_certificate, make_key) -> list[Problem]:
    """What one run over the file finds."""
    site.certificate("old-cert.pem", make_certificate("old", make_key("old"), days=-3))
    site.key("old-key.pem", "old")
    site.certificate("lone-cert.pem", make_certificate("lone", make_key("lone")))
    path = site.conf(re.sub(r" *#!.*", "", MISTAKES), "gw.conf")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return caught.value.problems


def test_one_run_finds_every_planted_mistake_with_line_column_and_suggestion(problems: list[Problem]) -> None:
    assert len(EXPECTED) >= 40
    missed = [
        f"{line}:{column}: {message} ({hint})"
        for line, column, message, hint in EXPECTED
        if not any(
            (found.line, found.column) == (line, int(column)) and message in found.message and hint in found.hint
            for found in problems
        )
    ]
    assert not missed, "\n".join(missed) + "\n\nfound:\n" + "\n".join(map(str, problems))


def test_nothing_is_reported_that_was_not_planted(problems: list[Problem]) -> None:
    planted = {line for line, *_ in EXPECTED}
    stray = [str(problem) for problem in problems if problem.line not in planted]
    assert not stray


def test_a_message_begins_with_file_line_and_column(problems: list[Problem]) -> None:
    one = next(problem for problem in problems if "esp_proposal'" in problem.message)
    line = next(number for number, text in enumerate(MISTAKES.splitlines(), 1) if "esp_proposal =" in text)
    name = Path(one.file).name
    assert str(one).endswith(f"{name}:{line}:9: unknown key 'esp_proposal' (did you mean 'esp_proposals'?)")


def test_no_secret_appears_in_any_message(problems: list[Problem]) -> None:
    words = ("ABCDEFGH", "0123456", "89abcdef", "sesame")
    assert not [str(problem) for problem in problems if any(word in str(problem) for word in words)]
