"""``authorities`` sections: what they say of a CA reaches whoever judges a certificate."""

from fastesp.config import load
from fastesp.gateway.vault import Vault

TEXT = """
authorities {
  house {
    cacert = ca.pem
    crl_uris = ldap://directory.example/cn=ca, http://ca.example/ca.crl, file:///etc/ca.crl
    ocsp_uris = http://ca.example/ocsp
    cert_uri_base = http://ca.example/certs/
  }
}
"""


def test_what_a_section_says_is_known_of_its_ca(site) -> None:
    settings = load(site.conf(TEXT))
    vault = Vault()
    vault.use_file(settings.credentials)
    vault.use_authorities(settings.authorities)
    (known,) = vault.publications()
    assert known.authority in vault.authorities()
    assert known.crl_uris[1:] == ("http://ca.example/ca.crl", "file:///etc/ca.crl")
    assert known.ocsp_uris == ("http://ca.example/ocsp",)
    assert known.cert_uri_base == "http://ca.example/certs/"
    vault.use_authorities(())
    assert vault.publications() == []


def test_a_directory_service_is_not_asked_and_that_is_said(site) -> None:
    (warning,) = [w for w in load(site.conf(TEXT)).warnings if w.code == "config-uri-unused"]
    assert "LDAP" in warning.message
    assert ":5:" in str(warning.place)
