"""The schema against the names that strongSwan 5.9.8 documents, and the documentation against the schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastesp.config.problems import Place, Problems
from fastesp.config.reading import read
from fastesp.config.reference import keys, page, status
from fastesp.config.schema import ROOT
from fastesp.config.syntax import parse_text

DOCUMENTED = [
    tuple(line.partition("\t")[::2])
    for line in (Path(__file__).parent / "documented_keys.tsv").read_text().splitlines()
]
DERIVED = {
    "pools.<name>.<attr>",
    *(f"connections.<conn>.{side}<suffix>.cert<suffix>" for side in ("local", "remote")),
    "connections.<conn>.remote<suffix>.cacert<suffix>",
}
"""Names that stand for many, or for a section."""
OURS = {
    "connections.<conn>.children.<child>.per_cpu_sas",
    "connections.<conn>.session_resumption",
    "pools.<name>.<number>",
}
"""Keys newer than that documentation, or of this gateway alone."""

KNOWN = {name: key for name, key, _ in keys()}


def test_there_are_as_many_documented_names_as_the_manual_has() -> None:
    assert len(DOCUMENTED) == 161


@pytest.mark.parametrize("name", [name for name, _ in DOCUMENTED if name not in DERIVED])
def test_every_documented_key_is_in_the_schema(name: str) -> None:
    assert name in KNOWN


def test_no_key_of_the_schema_is_made_up() -> None:
    manual = {name for name, _ in DOCUMENTED}
    attributes = {f"pools.<name>.{one}" for one in ("dns", "nbns", "dhcp", "netmask", "server", "subnet")}
    attributes |= {"pools.<name>.split_include", "pools.<name>.split_exclude"}
    aliases = {"secrets.xauth<suffix>.secret", "secrets.xauth<suffix>.id<suffix>"}
    assert set(KNOWN) - manual == OURS | attributes | aliases | {"connections.<conn>.children"}


@pytest.mark.parametrize(("name", "default"), [(n, d) for n, d in DOCUMENTED if d and n not in DERIVED])
def test_every_documented_default_is_ours(name: str, default: str) -> None:
    key = KNOWN[name]
    assert key is not None
    assert key.default == default


def test_every_key_is_honoured_or_refused_with_a_reason() -> None:
    for name, key, rule in keys():
        if key is not None:
            assert key.about or rule.refused or "*" in key.refused, name
            said = status(key, rule)
            assert said == "without effect" or said.startswith("honoured") or len(said.partition("refused")[2]) > 15, (
                name
            )


def test_the_documentation_is_generated_from_the_schema() -> None:
    file = Path(__file__).parents[3] / "docs" / "swanctl-conf.md"
    text = file.read_text()
    assert page(text) == text, "run: python -m fastesp.config.reference"


def test_every_literal_default_is_a_value_of_its_key() -> None:
    spoken = ("id", "remote-id", "over_time")
    for name, key, _ in keys():
        if key is None or not key.default or " " in key.default or key.default in spoken or "*" in key.refused:
            continue
        assert key.kind.read(key.default) is not None, name


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("connections.c", "aggressive = yes"),
        ("connections.c", "pull = no"),
        ("connections.c", "mediation = yes"),
        ("connections.c", "mediated_by = x"),
        ("connections.c.local", "xauth_id = x"),
        ("connections.c.local", "aaa_id = x"),
        ("connections.c.remote", "eap_id = %any"),
        ("connections.c.remote", "groups = x"),
        ("connections.c.local.cert-1", "handle = 42"),
        ("connections.c.children.x", "mode = beet"),
        ("connections.c.children.x", "mode = transport_proxy"),
        ("connections.c.children.x", "ipcomp = yes"),
        ("connections.c.children.x", "label = x"),
        ("connections.c.children.x", "interface = eth0"),
        ("connections.c.children.x", "mark_in = 42"),
        ("connections.c.children.x", "mark_in_sa = yes"),
        ("connections.c.children.x", "set_mark_out = 1/2"),
        ("connections.c.children.x", "if_id_out = %unique"),
        ("connections.c.children.x", "policies = no"),
        ("connections.c.children.x", "sha256_96 = yes"),
        ("connections.c.children.x", "hw_offload = packet:eth0"),
        ("connections.c.children.x", "hw_offload = yes"),
        ("connections.c", "if_id_in = 7"),
        ("connections.c", "dscp = 101110"),
        ("connections.c", "vips = 0.0.0.0, ::"),
        ("connections.c", "pools = a, b"),
        ("secrets.token", "pin = 1234"),
        ("authorities.a", "handle = 42"),
    ],
)
def test_what_is_refused_is_refused_by_name_with_the_reason(path: str, line: str) -> None:
    problems = Problems()
    parts = path.split(".")
    text = "\n".join(f"{part} {{" for part in parts) + f"\n{line}\n" + "}" * len(parts)
    read(parse_text(text, problems, "t.conf"), ROOT, problems)
    (one,) = problems.sorted()
    assert one.code == "config-refused"
    assert "is refused: " in one.message
    assert "1234" not in str(one)


@pytest.mark.parametrize(
    "line",
    [
        "aggressive = no",
        "pull = yes",
        "mediation = no",
        "version = 2",
        "version = 0",
        "dscp = 0",
        "if_id_in = 0",
        "pools =",
    ],
)
def test_the_harmless_value_of_a_refused_key_is_taken(line: str) -> None:
    problems = Problems()
    read(parse_text(f"connections {{ c {{ {line}\n }} }}", problems), ROOT, problems)
    assert problems.sorted() == []


def test_keys_and_sections_may_be_written_in_any_case() -> None:
    problems = Problems()
    values = read(
        parse_text("connections { c { Local_Addrs = 10.0.0.1\n LOCAL { Auth = PSK\n } } }", problems), ROOT, problems
    )
    assert problems.sorted() == []
    connection = values.section("connections").sections["c"]
    assert len(connection.all("local_addrs")) == 1
    assert [one.get("auth") for one in connection.below("local")] == ["PSK"]


def test_a_key_in_place_of_a_section_and_the_reverse_are_told_apart() -> None:
    problems = Problems()
    read(parse_text("connections { c { children = x\n mobike { } } }", problems, "t.conf"), ROOT, problems)
    assert [str(one) for one in problems.sorted()] == [
        "t.conf:1:19: 'children' is a section, not a key (write 'children { ... }')",
        "t.conf:2:2: 'mobike' is a key, not a section (write 'mobike = ...')",
    ]


def test_lists_are_cut_at_commas_and_each_item_has_its_column() -> None:
    problems = Problems()
    text = "connections { c { remote_addrs = 10.0.0.1,  bad..name , 10.0.0.3\n } }"
    values = read(parse_text(text, problems, "t.conf"), ROOT, problems)
    (one,) = problems.sorted()
    assert one.place == Place("t.conf", 1, text.index("bad") + 1)
    assert len(values.section("connections").sections["c"].all("remote_addrs")) == 2
