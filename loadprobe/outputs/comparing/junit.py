"""Conditions as a JUnit file, as CI servers show them. Pure."""

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from loadprobe.outputs.wording import printable


def render_junit(name: str, checked: Mapping[str, Sequence[str]]) -> bytes:
    """Return a test suite with a case for each condition.

    Args:
        name: of the suite.
        checked: by condition: where it holds, as sentences; then the case failed.
    """
    suite = Element(
        "testsuite",
        name=printable(name),
        tests=str(len(checked)),
        failures=str(sum(bool(held) for held in checked.values())),
        errors="0",
    )
    for condition, held in checked.items():
        case = SubElement(
            suite, "testcase", classname="loadprobe", name=printable(condition)
        )
        if held:
            failure = SubElement(case, "failure", message=printable(held[0]))
            failure.text = printable("; ".join(held))
    indent(suite)
    content: bytes = tostring(suite, encoding="utf-8", xml_declaration=True)
    return content
