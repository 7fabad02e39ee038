"""Text from outside made safe to look at, on a page as on a terminal."""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def visible(text: str) -> str:
    """The text with control, zero-width and reordering characters spelled out, as in <U+202E>.

    A name must not look like another one, move the cursor, or turn a line around.
    """
    return _HIDDEN.sub(lambda found: f"<U+{ord(found[0]):04X}>", unicodedata.normalize("NFC", text))
