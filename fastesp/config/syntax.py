"""The syntax of strongswan.conf and swanctl.conf: text into a tree that knows where each key stands.

::

    settings  := (section | keyvalue | include)*
    section   := name [: reference (, reference)*] { settings }
    keyvalue  := key = value          up to the end of the line, a comment or a closing brace
    include   := include pattern      relative to the including file, may hold shell wildcards

A value is words and quoted strings; white space between them counts as one blank. ``#`` begins a comment
anywhere outside of quotes. Every step of the reader consumes text, so it ends on any input.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from pathlib import Path

from .problems import Place, Problems
from .tree import Reference, Section, Setting

MAX_INCLUDE_DEPTH = 16
MAX_SECTION_DEPTH = 32
MAX_FILES = 1024
MAX_FILE_SIZE = 16 * 1024 * 1024

_NAME = re.compile(r'[^#{}:.,="\r\n\t ]+')
_REFERENCE = re.compile(r'[^#{}:.,="\r\n\t ]+(?:\.[^#{}:.,="\r\n\t ]+)*')
_WORD = re.compile(r'[^#}"\r\n\t ]+')
_PATTERN = re.compile(r'[^"\\#}\r\n\t ]+')
_QUOTED = re.compile(r'[^\\"\r]+')
_BLANK = re.compile(r"[\t\r ]+")
_COMMENT = re.compile(r"#[^\n]*")
_INCLUDE = re.compile(r"include[\t ]+(?!=)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class BadSyntaxError(Exception):
    """Text that is no configuration; the reader notes it and goes on behind it."""

    def __init__(self, at: Place, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.at, self.message, self.hint = at, message, hint


def parse_file(path: Path | str, problems: Problems) -> Section:
    """The tree of a file and of all that it includes. A file that cannot be read is a problem like any other."""
    root = Section("", Place(str(path), 1, 1))
    _Reader(problems).file(Path(path), root, root.at, 0)
    return root


def parse_text(text: str, problems: Problems, name: str = "<text>") -> Section:
    """The tree of ``text``; ``name`` stands for the file in places, and includes are relative to its directory."""
    root = Section("", Place(name, 1, 1))
    _Parser(_Reader(problems), name, text, 0).run(root)
    return root


@dataclass(slots=True)
class _Reader:
    """What the parsers of all files of one run share: the problems, and the limits."""

    problems: Problems
    files: list[Path] = field(default_factory=list)
    open_files: list[Path] = field(default_factory=list)

    def file(self, path: Path, into: Section, at: Place, depth: int) -> None:
        """Read one file into a section. ``at`` is where it was asked for."""
        real = path.resolve()
        if depth > MAX_INCLUDE_DEPTH or real in self.open_files or len(self.files) >= MAX_FILES:
            why = (
                "includes itself"
                if real in self.open_files
                else f"makes more than {MAX_INCLUDE_DEPTH} levels of includes"
            )
            why = f"is one of more than {MAX_FILES} files" if len(self.files) >= MAX_FILES else why
            self.problems.add(at, f"'{path}' {why}", "remove the include")
            return
        try:
            if path.stat().st_size > MAX_FILE_SIZE:
                self.problems.add(
                    at, f"'{path}' is larger than {MAX_FILE_SIZE >> 20} MiB", "this is no configuration file"
                )
                return
            text = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            self.problems.add(at, f"cannot read '{path}': {error.strerror}", "check the path and its permissions")
            return
        except UnicodeDecodeError as error:
            self.problems.add(Place(str(path), 1, 1), f"not UTF-8 at byte {error.start}", "save the file as UTF-8")
            return
        self.files.append(path)
        self.open_files.append(real)
        _Parser(self, str(path), text, depth).run(into)
        self.open_files.pop()


class _Parser:
    """One file, read from front to back without a look behind."""

    def __init__(self, reader: _Reader, name: str, text: str, depth: int) -> None:
        self.reader = reader
        self.problems = reader.problems
        self.name = name
        self.text = text
        self.depth = depth
        self.at = 0
        self.line = 1
        self.line_start = 0

    # Places and steps.

    @property
    def place(self) -> Place:
        return Place(self.name, self.line, self.at - self.line_start + 1)

    @property
    def char(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def step(self, count: int = 1) -> None:
        """Consume characters, keeping count of lines."""
        end = min(self.at + count, len(self.text))
        newlines = self.text.count("\n", self.at, end)
        if newlines:
            self.line += newlines
            self.line_start = self.text.rindex("\n", self.at, end) + 1
        self.at = end

    def take(self, pattern: re.Pattern[str]) -> str:
        """Consume what ``pattern`` matches here; empty where it does not."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.step(len(match[0]))
        return match[0]

    def skip_space(self) -> None:
        """White space, line ends and comments."""
        while self.char and (self.char in "\t\r\n " or self.char == "#"):
            if self.char == "\n":
                self.step()
            elif not self.take(_BLANK):
                self.take(_COMMENT)

    # The grammar.

    def run(self, root: Section) -> None:
        """All statements of the file, into ``root``; a broken one is noted and skipped."""
        stack: list[tuple[Section, dict[str, Place]]] = [(root, {})]
        while True:
            self.skip_space()
            if not self.char:
                break
            try:
                self.statement(stack)
            except BadSyntaxError as problem:
                self.problems.add(problem.at, problem.message, problem.hint, code="config-syntax")
                self.recover()
        for section, _ in reversed(stack[1:]):
            hint = "add a '}' where the section ends"
            self.problems.add(section.at, f"section '{section.name}' is never closed", hint, code="config-syntax")

    def recover(self) -> None:
        """Go on behind a broken statement: at the next line, or at a brace that closes a section."""
        if self.char and self.char not in "\n}":
            end = re.compile(r"[\n}]").search(self.text, self.at + 1)
            self.step((end.start() if end else len(self.text)) - self.at)

    def statement(self, stack: list[tuple[Section, dict[str, Place]]]) -> None:
        """One section opening or closing, one key, or one include."""
        section, written = stack[-1]
        if self.char == "}":
            if len(stack) == 1:
                at = self.place
                self.step()
                raise BadSyntaxError(at, "'}' closes nothing", "remove it, or look for a '}' too many above")
            stack.pop()
            self.step()
        elif self.take(_INCLUDE):
            self.include(section)
        else:
            at, name = self.place, self.take(_NAME)
            if not name:
                raise BadSyntaxError(
                    at, f"'{self.char}' where a key or a section's name is expected", _hint_for(self.char)
                )
            self.named(name, at, stack, written)

    def named(
        self, name: str, at: Place, stack: list[tuple[Section, dict[str, Place]]], written: dict[str, Place]
    ) -> None:
        """What follows a name: ``=``, ``{`` or ``: references {``."""
        self.skip_space()
        section = stack[-1][0]
        if self.char == "=":
            self.step()
            self.value(section, name, at, written)
        elif self.char in ("{", ":"):
            references = self.references() if self.char == ":" else []
            if self.char != "{":
                raise BadSyntaxError(self.place, f"'{{' is missing behind '{name}' and its references", "")
            if len(stack) > MAX_SECTION_DEPTH:
                raise BadSyntaxError(at, f"sections nested deeper than {MAX_SECTION_DEPTH}", "close some with '}'")
            self.step()
            below = section.open(name, at)
            below.references.extend(references)
            stack.append((below, {}))
        else:
            word = f"'{self.char}'" if self.char else "the end of the file"
            hint = "names hold no '.' and no ','" if self.char in (".", ",") else "write 'key = value' or 'name {'"
            shown = f"'{name}'"
            if len(stack) > 1 and stack[1][0].name == "secrets":
                # It may well be a secret that slipped to a line of its own.
                shown = f"a word of {len(name)} characters"
            raise BadSyntaxError(at, f"{shown} is followed by {word}, not by '=' or '{{'", hint)

    def references(self) -> list[Reference]:
        """``: base, other.section`` up to the opening brace."""
        found: list[Reference] = []
        while self.char in (":", ","):
            self.step()
            self.skip_space()
            at, name = self.place, self.take(_REFERENCE)
            if not name:
                raise BadSyntaxError(at, "the name of a section is missing behind ':'", "write 'name : other { ... }'")
            found.append(Reference(name, at))
            self.skip_space()
        return found

    def value(self, section: Section, name: str, at: Place, written: dict[str, Place]) -> None:
        """Words and strings up to the end of the line, a comment or a brace."""
        self.take(_BLANK)
        parts: list[str] = []
        marks: list[tuple[int, Place]] = []
        while self.char and self.char not in "#}\n":
            word_at, quoted = self.place, self.char == '"'
            marks.append((sum(map(len, parts)) + len(parts), Place(self.name, self.line, word_at.column + quoted)))
            parts.append(self.string() if quoted else self.word(name))
            self.take(_BLANK)
        setting = Setting(name, at, (" ".join(parts),), tuple(marks), cleared=not parts)
        section.put(setting)
        if name in written:
            hint = "keep one of them"
            message = f"'{name}' was given before, on line {written[name].line}; this value replaces it"
            self.problems.warn(at, message, hint, code="config-duplicate")
        written[name] = at

    def word(self, key: str) -> str:
        """A word of a value. A brace that opens a section here would vanish in the value: that is refused."""
        at, word = self.place, self.take(_WORD)
        if word.endswith("{"):
            hint = "begin the section on a line of its own, or put the value in quotes"
            raise BadSyntaxError(at, f"'{{' in the value of '{key}'", hint)
        if self.char == "#":
            hint = "put the value in quotes if '#' belongs to it, a blank before it if not"
            self.problems.warn(self.place, f"the value of '{key}' ends at '#'", hint, code="config-syntax")
        return word

    def string(self) -> str:
        """A quoted string: ``\\n \\r \\t``, any other character escaped for itself, a line end escaped for nothing."""
        at = self.place
        self.step()
        parts = []
        while self.char and self.char != '"':
            if self.char == "\\":
                self.step()
                escaped = "\n" if self.text.startswith("\r\n", self.at) else self.char
                self.step(2 if escaped == "\n" and self.char == "\r" else 1)
                parts.append("" if escaped == "\n" else _ESCAPES.get(escaped, escaped))
            elif self.char == "\r":
                self.step()
            else:
                parts.append(self.take(_QUOTED))
        if not self.char:
            raise BadSyntaxError(at, "the string that begins here has no closing '\"'", "close it with '\"'")
        self.step()
        if self.line > at.line and "\n" in "".join(parts):
            self.problems.warn(at, f"the string that begins here ends on line {self.line}", "is a '\"' missing?")
        return "".join(parts)

    def include(self, section: Section) -> None:
        """``include pattern``: the files in the order of their names. Only a pattern may match nothing."""
        at, parts = self.place, []
        while self.char and self.char not in "#}\n\t\r ":
            if self.char == '"':
                parts.append(self.string())
                break
            if self.char == "\\":
                self.step()
                if self.char and self.char in '"#} ':
                    parts.append(self.char)
                    self.step()
                else:
                    parts.append("\\")
            else:
                parts.append(self.take(_PATTERN))
        pattern = "".join(parts)
        if not pattern or "\0" in pattern:
            raise BadSyntaxError(at, "include names no file", "write 'include conf.d/*.conf'")
        full = str(Path(self.name).parent / pattern)
        found = sorted(glob.glob(full))
        if not found and not glob.has_magic(pattern):
            self.problems.add(at, f"include: there is no file '{full}'", "a path is relative to the including file")
        for path in found:
            self.reader.file(Path(path), section, at, self.depth + 1)


def _hint_for(char: str) -> str:
    """What a stray character mostly comes from."""
    return {
        '"': "quotes belong to values only",
        "=": "the key is missing before '='",
        "{": "the section's name is missing before '{'",
        ":": "the section's name is missing before ':'",
        ".": "names hold no '.'",
        ",": "names hold no ','",
    }.get(char, "write 'key = value' or 'name {'")
