"""What the command to compare refuses before it connects to anything."""

import sys
from pathlib import Path

import pytest

from loadprobe.cli import app as cli

PLAIN = "redis://127.0.0.1:1"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["redis://ann:hunter2@h:1", PLAIN], "SOURCE: there is a password in the URL"),
        ([PLAIN, "redis://ann:hunter2@h:1"], "TARGET: there is a password in the URL"),
        ([PLAIN, "localhost:6379"], "write redis://localhost:6379"),
        ([PLAIN, "redis://h:1/3"], "database 0"),
        ([PLAIN, PLAIN, "--sample", "0"], "--sample 0 looks at nothing"),
        ([PLAIN, PLAIN, "--settle", "5"], "--settle '5' is not a duration"),
        ([PLAIN, PLAIN, "--ttl-tolerance", "x"], "--ttl-tolerance 'x'"),
        (["{file}", PLAIN, "--source-cacert", "x"], "--source-... options are for a"),
        ([PLAIN, "{file}", "--target-password-env", "X"], "--target-... options are"),
        (
            [PLAIN, PLAIN, "--source-password-file", "/none"],
            "password_file: cannot read",
        ),
        ([PLAIN, PLAIN], "source: connecting to 127.0.0.1:1"),
    ],
)
def test_a_wrong_command_is_told_in_one_line(
    words: list[str],
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, what is wrong, and no password."""
    file = tmp_path / "file.toml"
    file.write_text('[target]\nhost = "h"\n[[lanes]]\nname = "tcp"\n')
    words = [word.format(file=file) for word in words]
    monkeypatch.setattr(sys, "argv", ["loadprobe", "parity", *words])
    # Variables are about one target; neither side is to be moved by them.
    monkeypatch.setenv("LOADPROBE_TARGET_PORT", "2")
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    assert part in err
    assert err.count("\n") == 1
    assert "hunter2" not in err
