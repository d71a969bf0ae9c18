"""Text from elsewhere is shown by the console, and obeyed by no terminal."""

import ast
import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

import loadprobe
from loadprobe.cli.saying import say, warn
from loadprobe.harmless import harmless, harmless_json
from loadprobe.outputs.live.console import HarmlessConsole, make_console

CLIPBOARD = "\x1b]52;c;cm0gLXJmIH4=\x07"
TITLE = "\x1b]0;owned\x1b\\"
HOSTILE = f"a{CLIPBOARD}{TITLE}\x1b[2J\x9b31m\x7f\u202eb"
SHOWN = "a\\x1b]52;c;cm0gLXJmIH4=\\x07\\x1b]0;owned\\x1b\\\\x1b[2J\\x9b31m\\x7f\\u202eb"


@pytest.mark.parametrize("text", ["plain", "zwei\nZeilen\t|", "日本", ""])
def test_what_steers_nothing_stays(text: str) -> None:
    """Lines, tabs and all languages are as they were."""
    assert harmless(text) == text


def test_what_steers_is_shown() -> None:
    """As Python would write it; half characters, too."""
    assert harmless(HOSTILE) == SHOWN
    assert harmless("\ud800x\r") == "\\ud800x\\r"


def test_commands_say_and_do_not_steer(capsys: pytest.CaptureFixture[str]) -> None:
    """On both outputs."""
    say(HOSTILE)
    warn(HOSTILE)
    out, err = capsys.readouterr()
    assert out == err == f"{SHOWN}\n"


def test_json_stays_json_and_steers_nothing() -> None:
    """It says the same to a program."""
    document = {"name": HOSTILE, "other": "日本"}
    plain = json.dumps(document, ensure_ascii=False).encode()
    shown = harmless_json(plain)
    assert json.loads(shown) == document
    assert b"\xc2\x9b" in plain
    assert not any(not ch.isprintable() for ch in shown.decode())
    assert harmless_json(b'{"a": "\x7f"}') == b'{"a": "\\u007f"}'


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_console_shows_and_does_not_obey(*, is_terminal: bool) -> None:
    """Strings, cells of tables and what is live; no markup, no emoji, no links."""
    written = io.StringIO()
    console = HarmlessConsole(
        file=written,
        width=200,
        force_terminal=is_terminal,
        markup=False,
        emoji=False,
        _environ={"TERM": "xterm"},
    )
    table = Table(HOSTILE)
    table.add_row(f"[link=http://evil]cell[/link] :smile: {HOSTILE}")
    console.print(HOSTILE)
    console.print(Text(HOSTILE))
    console.print(table)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        live.update(table, refresh=True)
    text = written.getvalue()
    for part in ("\x1b]", "\x07", "\x9b", "\x7f", "\u202e", "\x1b[2J"):
        assert part not in text
    assert "[link=http://evil]cell[/link] :smile:" in text
    assert "\\x9b31m" in text
    assert ("\x1b[" in text) is is_terminal  # its own colours and movements stay


def test_the_console_of_commands_knows_no_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nor emoji: what looks like either is shown."""
    text = "[link=http://evil]cell[/link] [red]x[/] :smile:"
    console = make_console()
    console.print(text)
    assert isinstance(console, HarmlessConsole)
    assert capsys.readouterr().out == f"{text}\n"


def test_only_the_consoles_print() -> None:
    """So there is one place that text passes on its way to a terminal."""
    root = Path(loadprobe.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in {"print", "Console", "sys.stdout.write"}:
                    found.add(str(path.relative_to(root)))
    pages = {"outputs/reference.py", "outputs/folder/events_page.py"}  # of our docs
    assert found - pages == {"cli/saying.py"}
    assert issubclass(HarmlessConsole, Console)
