"""A regular expression in, texts that it allows out: enough of them to find one that breaks a name.

A pattern is read as alternatives of pieces, each a set of characters and how many of them. What comes out is always in
the language; what cannot be read that way (look-arounds, back references, set operations) is an error, not a guess.
The dialect is Java's, as CloudFormation uses it; the pattern must match the whole text.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple, NoReturn, TypeAlias

MAX_PATTERN = 1000
MAX_DEPTH = 20
MAX_SHAPES = 64
MAX_PIECES = 400
MAX_TEXTS = 1000
UNBOUNDED = 5000
COPIES = 40

_LOWER = "abcdefghijklmnopqrstuvwxyz"
_UPPER = _LOWER.upper()
_DIGITS = "0123456789"
_ANY = _LOWER + _DIGITS + _UPPER + "".join(chr(code) for code in range(0x20, 0x7F) if not chr(code).isalnum()) + "é"
_CLASSES = {
    "d": _DIGITS,
    "w": _LOWER + _DIGITS + _UPPER + "_",
    "s": " \t",
    "p{Alnum}": _LOWER + _DIGITS + _UPPER,
    "p{Alpha}": _LOWER + _UPPER,
    "p{Lower}": _LOWER,
    "p{Upper}": _UPPER,
    "p{Digit}": _DIGITS,
}


class UnreadableError(ValueError):
    """A pattern that is not read: it is no regular expression, or has more than pieces and alternatives."""


class Piece(NamedTuple):
    """Between ``least`` and ``most`` characters out of ``letters``, the plainest first."""

    letters: str
    least: int
    most: int


Shape: TypeAlias = tuple[Piece, ...]


def shapes(pattern: str) -> tuple[Shape, ...]:
    """The alternatives of a pattern. Raises ``UnreadableError``."""
    if len(pattern) > MAX_PATTERN:
        raise UnreadableError("the pattern is very long")
    reader = _Reader(pattern)
    found = reader.alternatives()
    if reader.at < len(pattern):
        reader.fail()
    return tuple(dict.fromkeys(found))


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.depth = 0
        self.begins = True  # whether nothing stands before the group that is read
        self.ended = False  # whether a group that was read asks for the end of the text
        self.any_case = self._take("(?i)")

    def fail(self) -> NoReturn:
        raise UnreadableError(f"{self.pattern[self.at : self.at + 8]!r} is not read")

    def _take(self, text: str) -> bool:
        found = self.pattern.startswith(text, self.at)
        self.at += len(text) if found else 0
        return found

    def _next(self) -> str:
        if self.at >= len(self.pattern):
            self.fail()
        self.at += 1
        return self.pattern[self.at - 1]

    def alternatives(self) -> list[Shape]:
        found = self._sequence()
        while self._take("|"):
            found += self._sequence()
        if len(found) > MAX_SHAPES or any(len(shape) > MAX_PIECES for shape in found):
            raise UnreadableError("the pattern has very many alternatives")
        return found

    def _sequence(self) -> list[Shape]:
        found: list[Shape] = [()]
        while self._take("^") or self._take("\\A"):
            if not self.begins:
                self.fail()
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            if self._take("$") or self._take("\\z") or self._take("\\Z"):
                self.ended = self.depth > 0
                self._expect_end()
                continue
            items = self._item()
            found = [(*shape, *item) for shape in found for item in items]
            if len(found) > MAX_SHAPES:
                raise UnreadableError("the pattern has very many alternatives")
        return found

    def _item(self) -> list[Shape]:
        if self._take("("):
            begins, self.begins = self.begins, self.begins and not self.pattern[: self.at].strip("(?:^")
            self.ended = False
            found = self._group()
            self.begins = begins
            if self.ended:
                self._expect_end()
            least, most = self._quantity()
            return list(_repeated(found, least, most))
        letters = self._letters()
        return [(Piece(letters, *self._quantity()),)]

    def _expect_end(self) -> None:
        if self.at < len(self.pattern) and self.pattern[self.at] not in "|)$":
            self.fail()

    def _group(self) -> list[Shape]:
        if self._take("?<"):
            while self._next() != ">":
                if not self.pattern[self.at - 1].isalnum():
                    self.fail()
        elif self._take("?") and not self._take(":"):
            self.fail()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail()
        found = self.alternatives()
        self.depth -= 1
        if not self._take(")"):
            self.fail()
        return found

    def _quantity(self) -> tuple[int, int]:
        least, most = 1, 1
        if self._take("*"):
            least, most = 0, UNBOUNDED
        elif self._take("+"):
            most = UNBOUNDED
        elif self._take("?"):
            least = 0
        elif self._take("{"):
            inside, closed, _ = self.pattern[self.at :].partition("}")
            first, comma, last = inside.partition(",")
            if not closed or not first.isdecimal() or (last and not last.isdecimal()):
                self.fail()
            self.at += len(inside) + 1
            least = min(int(first[:5]), UNBOUNDED)
            most = min(int(last[:5]), UNBOUNDED) if last else UNBOUNDED if comma else least
        else:
            return least, most
        self._take("?")
        if self.pattern.startswith("+", self.at):
            self.fail()  # possessive: it may leave nothing for what follows
        return least, most

    def _letters(self) -> str:
        letter = self._next()
        if letter == "[":
            return self._cased(self._set())
        if letter == ".":
            return _ANY
        if letter == "\\":
            return self._cased(self._escaped())
        if letter in "*+?{})]^$":
            self.at -= 1
            self.fail()
        return self._cased(letter)

    def _escaped(self) -> str:
        letter = self._next()
        if letter == "p":
            inside, closed, _ = self.pattern[self.at :].partition("}")
            self.at += len(inside) + 1
            letter = f"p{inside}{closed}"
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in ("D", "W", "S"):
            return _without(_CLASSES[letter.lower()])
        if letter.isalnum() or len(letter) > 1:
            self.fail()
        return letter

    def _set(self) -> str:
        negated = self._take("^")
        found: list[str] = []
        first = True
        while first or not self._take("]"):
            if self.pattern.startswith(("[", "&&"), self.at):
                self.fail()
            letter = self._next()
            first = False
            letters = self._escaped() if letter == "\\" else letter
            ranged = self.pattern[self.at : self.at + 1] == "-" and self.pattern[self.at + 1 : self.at + 2] not in "]"
            if len(letters) == 1 and ranged:
                self.at += 1
                last = self._escaped() if self._take("\\") else self._next()
                if len(last) != 1 or not 0 <= ord(last) - ord(letters) < 0x100:
                    self.fail()
                letters = "".join(chr(code) for code in range(ord(letters), ord(last) + 1))
            found.append(letters)
        return _without("".join(found)) if negated else _plainest("".join(found))

    def _cased(self, letters: str) -> str:
        return _plainest(letters + letters.swapcase()) if self.any_case else letters


def _kinds(letters: str) -> str:
    """One small letter, one capital, one digit, and every other character: no service tells more apart."""
    kinds = (_LOWER, _UPPER, _DIGITS)
    found = [next((letter for letter in letters if letter in kind), "") for kind in kinds]
    return "".join(found) + "".join(letter for letter in letters if not any(letter in kind for kind in kinds))


def _without(letters: str) -> str:
    return "".join(letter for letter in _ANY if letter not in letters)


def _plainest(letters: str) -> str:
    """Without doubles, letters and digits first."""
    return "".join(sorted(set(letters), key=lambda letter: (_ANY.find(letter) % 1000, letter)))


def _repeated(found: list[Shape], least: int, most: int) -> Iterator[Shape]:
    """A group some times over: as few as may be, one more, and many."""
    for times in dict.fromkeys((least, min(least + 1, most), min(most, max(COPIES, least)))):
        for shape in found:
            if times * len(shape) <= MAX_PIECES:
                yield shape * times


# What a parameter allows ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Values:
    """What a parameter may be: one of ``listed``, or a text of ``shapes`` with ``least`` to ``most`` characters."""

    listed: tuple[str, ...]
    shapes: tuple[Shape, ...]
    least: int = 0
    most: int = UNBOUNDED

    def allows(self, text: str) -> bool:
        """Whether a text is certainly one of the values."""
        if self.listed:
            return text in self.listed
        return self.least <= len(text) <= self.most and any(_is(shape, text) for shape in self.shapes)

    def made(self) -> Iterator[str]:
        """For each piece of each shape, and each kind of character that may stand in it, texts with such a one."""
        for shape in self.shapes:
            yield self._text(shape)
            for index, piece in enumerate(shape):
                for letter in _kinds(piece.letters) if piece.most else "":
                    yield from self._with(shape, index, letter)

    def _with(self, shape: Shape, index: int, letter: str) -> Iterator[str]:
        """Texts with a letter at the start, at the end and doubled in one of the pieces."""
        piece = shape[index]
        rest, once = piece._replace(least=max(piece.least - 1, 0)), Piece(letter, 1, 1)
        for order in ((once, rest), (rest, once)):
            yield self._text((*shape[:index], *order, *shape[index + 1 :]))
        if piece.most > 1:
            twice = piece._replace(least=max(piece.least - 2, 0))
            yield self._text((*shape[:index], once, once, twice, *shape[index + 1 :]))
        if piece.most > 2:
            grown = piece._replace(least=max(piece.least - 2, 1))
            yield self._text((*shape[:index], grown, once, Piece(piece.letters, 1, 1), *shape[index + 1 :]))

    def _text(self, shape: Shape) -> str:
        """The shortest text of a shape that is long enough."""
        return _grown(shape, self.least)

    def longest(self, most: int) -> str:
        """A value with as many characters as may be, at most ``most`` of them."""
        if self.listed:
            return max(self.listed, key=len)
        texts = [_grown(shape, min(most, self.most)) for shape in self.shapes]
        return max((text for text in texts if len(text) <= most and self.allows(text)), key=len, default="")


@lru_cache(maxsize=64)
def texts(values: Values, like: str) -> tuple[str, ...]:
    """Values of every kind: first those that resemble ``like``, then one for each kind of character in each place."""
    if values.listed:
        return values.listed
    tried = dict.fromkeys(chain(_variations(like), values.made()))
    return tuple(islice((text for text in tried if values.allows(text)), MAX_TEXTS))


def _variations(like: str) -> Iterable[str]:
    """Values that a person might choose where the default is ``like``."""
    if not like:
        return ("Dev", "dev", "")
    return (like.capitalize(), like.upper(), like, f"{like}-", f"-{like}", f"{like}_", f"{like}.", "")


def _grown(shape: Shape, length: int) -> str:
    """A text of a shape, its pieces filled from the last one on until it has a length."""
    counts = [piece.least for piece in shape]
    missing = length - sum(counts)
    for index in range(len(shape) - 1, -1, -1):
        more = max(min(missing, shape[index].most - shape[index].least), 0)
        counts[index] += more if shape[index].letters else 0
        missing -= more
    return "".join(piece.letters[:1] * count for piece, count in zip(shape, counts, strict=True))


def _is(shape: Shape, text: str) -> bool:
    """Whether a text has a shape: the places that each piece can end at, one piece after the other."""
    places = {0}
    for piece in shape:
        ends: set[int] = set()
        for start in places:
            end = start
            while end < len(text) and end - start < piece.most and text[end] in piece.letters:
                end += 1
            ends.update(range(start + piece.least, end + 1))
        places = ends
        if not places:
            return False
    return len(text) in places
