"""Two rules for the comments and docstrings of all tracked Python files.

No sentence opens with Of, What, Who, Whose, Where or Whether, because it would hide its actor.
No sentence uses words that only this project uses: the field's words are resume, report, ignore.
"""

import ast
import inspect
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OPENING = re.compile(r"(?:Of|What|Who|Whose|Where|Whether)\b")
CODE = re.compile(r"`[^`]*`")
OWN_WORDS = re.compile(r"\b(?:tells?|told|hears?|heard|(?:go|goes|going|gone|went) on)\b", re.IGNORECASE)


def sentences(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"(?<=[.!?])\s+", paragraph.strip()):
            yield " ".join(sentence.split())


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """The line and text of each docstring; a string alone in a statement counts, as below an attribute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, inspect.cleandoc(node.value.value)


def comments(source: str) -> Iterator[tuple[int, str]]:
    """The first line and text of each comment; comments on adjacent lines of their own are one."""
    text, first, last = "", 0, -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        words, line = token.string.lstrip("#: "), token.start[0]
        alone = token.line.lstrip().startswith("#")
        if text and alone and line == last + 1:
            text += "\n" + words
        else:
            if text:
                yield first, text
            text, first = words, line
        last = line if alone else -1
    if text:
        yield first, text


def openings(source: str) -> Iterator[tuple[int, str]]:
    """The sentences that break the first rule, each with the line of its comment or docstring."""
    for line, text in docstrings(source):
        yield from ((line, sentence) for sentence in sentences(text) if OPENING.match(sentence))
    for line, text in comments(source):
        for number, sentence in enumerate(sentences(text)):
            if OPENING.match(sentence) or (number == 0 and re.match(r"of\b", sentence)):
                yield line, f"# {sentence}"


def own_words(source: str) -> Iterator[tuple[int, str]]:
    """The sentences that break the second rule, each with the line of its comment or docstring; code is left out."""
    for line, text in (*docstrings(source), *comments(source)):
        yield from ((line, sentence) for sentence in sentences(text) if OWN_WORDS.search(CODE.sub("", sentence)))


def tracked() -> list[str]:
    command = ["git", "ls-files", "-z", "*.py"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in files.split("\0") if name and (ROOT / name).exists()]


@pytest.mark.parametrize(
    ("rule", "advice"),
    [
        (openings, "name the actor first"),
        (own_words, "use the field's words (resume, continue, report, ignore)"),
    ],
)
def test_every_sentence_is_plain(rule, advice):
    found = []
    for name in tracked():
        source = (ROOT / name).read_text(encoding="utf-8")
        found += [f"{name}:{line}: {sentence}" for line, sentence in rule(source)]
    assert not found, f"{advice}:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""What it does."""\n', [(1, "What it does.")]),
        ('"""It reads. Where it fails, it stops."""\n', [(1, "Where it fails, it stops.")]),
        ('def f():\n    """Name.\n\n    Whether it\n    ends.\n    """\n', [(2, "Whether it ends.")]),
        ('class A:\n    """A: whose."""\n\n    async def f():\n        """Whose it is."""\n', [(5, "Whose it is.")]),
        ('a = 1\n"""Whether it holds."""\n', [(2, "Whether it holds.")]),
        ("a = 1  # of the first\n", [(1, "# of the first")]),
        ("#: Who asks.\na = 1\n", [(1, "# Who asks.")]),
        ("# It is read. Of\n# all, one.\n", [(1, "# Of all, one.")]),
        ("a = 1  # a number\n# of it\n", [(2, "# of it")]),
        # Words within a sentence, longer words and plain strings are fine.
        ("# A part\n# of it, where\n# What holds.\n".replace("What holds", "what holds"), []),
        ('"""Often. Whatever. Whole."""\na = "What"  # offset\n', []),
    ],
)
def test_an_opening_is_found(source, found):
    assert list(openings(source)) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""It ends. The run\ngoes on."""\n', [(1, "The run goes on.")]),
        ("a = 1\n# Users are\n# told.\n", [(2, "Users are told.")]),
        ("a = 1  # not heard\n", [(1, "not heard")]),
        ('"""The line is for `tell`."""\n', []),
        ('"""A teller goes on_time."""\na = "told"\n', []),
    ],
)
def test_an_own_word_is_found(source, found):
    assert list(own_words(source)) == found
