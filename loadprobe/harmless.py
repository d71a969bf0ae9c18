"""Text from elsewhere as a terminal may have it: shown, never obeyed.

Servers, providers and run folders put what they like into texts. Kept as it is wherever
it is stored; made harmless where it is printed, in ``cli.saying`` and ``outputs.live``
(and in ``logs``, for standard error). Pure.
"""

_LAYOUT = "\n\t"
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
"""They let a text be read in another order than it has (Unicode, UAX #9)."""

CONTROLS = {
    code: ascii(chr(code))[1:-1]
    for code in [
        *range(32),
        *range(127, 160),  # C1: to some terminals U+009B is what ESC [ is
        0x2028,
        0x2029,
        *_DIRECTIONS,
    ]
}
"""What steers a terminal, or the order of letters -> how Python would write it."""

_CONTROLS_BUT_LAYOUT = {
    code: shown for code, shown in CONTROLS.items() if chr(code) not in _LAYOUT
}


def harmless(text: str) -> str:
    """Return a text that cannot steer a terminal; lines and tabs stay."""
    if text.isprintable():
        return text
    shown = text.translate(_CONTROLS_BUT_LAYOUT)
    return shown.encode(errors="backslashreplace").decode()  # half characters


def harmless_json(document: bytes) -> bytes:
    """Return the same JSON without characters that steer a terminal.

    C0 is written as escapes in JSON anyway; what else there is stands within strings.
    """
    if document.isascii():
        return document.replace(b"\x7f", b"\\u007f")
    escapes = {code: f"\\u{code:04x}" for code in CONTROLS if code > 126}
    return document.decode().translate(escapes).encode()
