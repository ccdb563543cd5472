"""Ways to damage a file's content. Number n of a kind is the same damage every time."""

import random
from dataclasses import dataclass

# Bytes that break readers: ends of ranges in each size, in both byte orders.
_EXTREMES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x7f\xff\xff\xff",
    b"\xff" * 8,
    b"\0" * 8,
)
_ENDS = 256  # bytes at both ends of a file that hold headers and directories


@dataclass(frozen=True)
class Damage:
    """A length to cut to, and patches: where bytes are written over, and which."""

    length: int
    patches: tuple[tuple[int, bytes], ...] = ()

    def apply(self, content: bytes) -> bytes:
        changed = bytearray(content[: self.length])
        for place, new in self.patches:
            changed[place : place + len(new)] = new[: len(changed) - place]
        return bytes(changed)

    def __str__(self) -> str:
        if not self.patches:
            return f"cut to {self.length} bytes"
        return ", ".join(f"{new.hex()} at {place}" for place, new in self.patches)


def cut(content: bytes, number: int) -> Damage:
    """A length from nothing to all but one byte: first both ends, then anywhere."""
    size = len(content)
    ends = (0, size - 1, size // 2, 1, size - 2, 7, size // 4)
    length = ends[number] if number < len(ends) else random.Random(f"cut {number}").randrange(size)
    return Damage(max(0, min(length, size - 1)))


def flip(content: bytes, number: int) -> Damage:
    """One to three patches with a bit, a byte or an extreme number, two in three near the file's ends."""
    size = len(content)
    random_ = random.Random(f"flip {number}")
    patches = []
    for _ in range(random_.choice((1, 1, 1, 2, 3))):
        near = random_.randrange(min(_ENDS, size))
        place = random_.choice((random_.randrange(size), near, size - 1 - near))
        bit = bytes([content[place] ^ 1 << random_.randrange(8)])
        byte, extreme = bytes([random_.randrange(256)]), random_.choice(_EXTREMES)
        patches.append((place, random_.choice((bit, bit, byte, extreme))))
    return Damage(size, tuple(patches))


KINDS = {"cut": cut, "flip": flip}
