"""The table of kills."""

from benchmarks.killing.figures import BEGIN, END, Kill, Kills, with_kills


def test_the_table_of_kills() -> None:
    """A line for each kind and one for all; what went wrong is told with its seed."""
    kills = (
        Kill("supervisor", 1, 2.0, 700.0, 3),
        Kill("supervisor", 2, 2.0, 900.0, 2, untold=1, problems=("one is not told",)),
        Kill("group", 3, 2.0, 0.0, 0, is_readable=False, problems=("damaged",)),
        Kill("group", 4, 2.0, 300.0, 1, went_on=True),
    )
    page = with_kills(f"{BEGIN}\n{END}\n", Kills({"cores": "2"}, kills))
    assert "2 of 4 are as they should be." in page
    assert "| supervisor | 2 | 2 | 5 | 4 | 0 | 800 | 900 | - |" in page
    assert "| group | 2 | 1 | 1 | 1 | 0 | 300 | 300 | 1 of 1 |" in page
    assert "| any | 4 | 3 | 6 | 5 | 0 | 700 | 900 | 1 of 1 |" in page
    assert "* supervisor, seed 2: one is not told" in page
