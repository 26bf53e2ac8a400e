"""The settings tree: sections and values with the place of each, before anybody asks what they mean.

A file and a VICI message both become this tree, so that what follows (schema, building) exists once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .problems import Place, Problems, did_you_mean

MAX_REFERENCE_DEPTH = 32
MAX_VICI_DEPTH = 16
MAX_SECTIONS = 200_000
"""Sections after references are resolved: a few lines of references to references could ask for 2**32."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A key and what was written for it. ``items`` are texts of a file (one, before commas are cut) or VICI's bytes.

    ``cleared`` stands for ``key =``: it hides an inherited value, so that the default applies.
    """

    name: str
    at: Place
    items: tuple[str | bytes, ...] = field(repr=False)
    marks: tuple[tuple[int, Place], ...] = ()
    listed: bool = False
    cleared: bool = False

    def place(self, offset: int = 0) -> Place:
        """Where the character at ``offset`` of a file's value stands; ``marks`` say where each word of it began."""
        best = None
        for start, at in self.marks:
            if start <= offset:
                best = Place(at.file, at.line, at.column + offset - start)
        return best or self.at


@dataclass(frozen=True, slots=True)
class Reference:
    """``: base`` behind a section's name: the absolute, dotted name of a section whose content is inherited."""

    name: str
    at: Place


@dataclass(slots=True)
class Section:
    """A named block, in the order of its writing."""

    name: str
    at: Place
    settings: dict[str, Setting] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)

    def put(self, setting: Setting) -> Setting | None:
        """Store ``setting``; answers the one it replaced."""
        before = self.settings.get(setting.name)
        self.settings[setting.name] = setting
        return before

    def open(self, name: str, at: Place) -> Section:
        """The sub-section of that name: a section written twice is extended."""
        return self.sections.setdefault(name, Section(name, at))

    def walk(self) -> Iterator[Section]:
        """This section and all below it. The parser bounds the depth."""
        yield self
        for section in self.sections.values():
            yield from section.walk()


def find(root: Section, dotted: str) -> Section | None:
    """The section of an absolute name such as ``connections.base``."""
    section: Section | None = root
    for part in dotted.split("."):
        section = section.sections.get(part) if section is not None else None
    return section


def resolve(root: Section, problems: Problems) -> Section:
    """A tree of the same content in which every reference is replaced by what it stands for.

    Own settings win, then the references from left to right; sub-sections of the same name are merged likewise,
    and what is inherited follows what is written, which matters for the order of authentication rounds.
    """
    return _Resolver(root, problems).merged([root], root.name, frozenset(), 0)


@dataclass(slots=True)
class _Resolver:
    root: Section
    problems: Problems
    made: int = 0

    def merged(self, layers: Sequence[Section], name: str, open_names: frozenset[int], depth: int) -> Section:
        """One section out of ``layers``, nearest first, each followed by what it references."""
        out = Section(name, layers[0].at)
        self.made += 1
        if self.made > MAX_SECTIONS:
            hint = "references to sections full of references multiply: flatten them"
            self.problems.add(self.root.at, f"references expand to more than {MAX_SECTIONS} sections", hint)
            return out
        stack = self.expanded(layers, open_names, depth)
        for layer in stack:
            for key, setting in layer.settings.items():
                out.settings.setdefault(key, setting)
        names = dict.fromkeys(sub for layer in stack for sub in layer.sections)
        seen = open_names | {id(layer) for layer in stack}
        for sub in names:
            below = [layer.sections[sub] for layer in stack if sub in layer.sections]
            below = [section for section in below if id(section) not in seen]
            if below:
                out.sections[sub] = self.merged(below, sub, seen, depth + 1)
        return out

    def expanded(self, layers: Sequence[Section], open_names: frozenset[int], depth: int) -> list[Section]:
        """``layers`` with the sections that they reference behind each of them, each section once."""
        out: list[Section] = []
        pending = list(reversed(layers))
        seen = set(open_names)
        while pending:
            section = pending.pop()
            if id(section) in seen:
                continue
            seen.add(id(section))
            out.append(section)
            targets = [self.target(section, reference, open_names, depth) for reference in section.references]
            pending.extend(target for target in reversed(targets) if target is not None)
        return out

    def target(self, section: Section, reference: Reference, open_names: frozenset[int], depth: int) -> Section | None:
        """The section a reference names; a missing one and one that contains its user are errors."""
        found = find(self.root, reference.name)
        if found is None:
            names = _dotted_names(self.root)
            hint = did_you_mean(reference.name, names) or "a reference is the full name of a section, from the top"
            self.problems.add(
                reference.at, f"'{section.name}' refers to '{reference.name}', which does not exist", hint
            )
            return None
        if found is section or id(found) in open_names or depth > MAX_REFERENCE_DEPTH:
            hint = "refer to a section outside of it"
            self.problems.add(reference.at, f"'{section.name}' refers to '{reference.name}', which contains it", hint)
            return None
        return found


def _dotted_names(root: Section, prefix: str = "") -> list[str]:
    names = []
    for name, section in root.sections.items():
        names.append(prefix + name)
        names.extend(_dotted_names(section, f"{prefix}{name}."))
    return names


def from_vici(message: Mapping[str, object], name: str = "", path: str = "", depth: int = 0) -> Section:
    """A tree out of a decoded VICI message: ``bytes`` or ``str`` values, lists of them, and nested sections.

    The place of a key is its path, e.g. ``site-a.children.net.local_ts``. Raises ``ValueError`` for another type,
    or for a message nested deeper than any of swanctl's.
    """
    if depth > MAX_VICI_DEPTH:
        raise ValueError(f"{path}: sections nested deeper than {MAX_VICI_DEPTH}")
    out = Section(name, Place(path or name or "message"))
    for key, value in message.items():
        where = f"{path}.{key}" if path else key
        at = Place(where)
        if isinstance(value, Mapping):
            out.sections[key] = from_vici(value, key, where, depth + 1)
        elif isinstance(value, bytes | str):
            out.settings[key] = Setting(key, at, (value,), cleared=not value)
        elif isinstance(value, Sequence) and all(isinstance(item, bytes | str) for item in value):
            out.settings[key] = Setting(key, at, tuple(value), listed=True)
        else:
            raise ValueError(f"{where}: neither a value nor a list nor a section")
    return out
