from xml.etree import ElementTree

import pytest

from router.cli import junit
from router.errors import CommandError

RESULTS = [
    {"id": "a", "state": "pass", "problems": [], "status": 200, "first_byte_ms": 12.5},
    {
        "id": "b",
        "state": "fail",
        "problems": ["status 500", "it is <late> & \x1b[31mred"],
        "status": 500,
        "first_byte_ms": None,
    },
    {"id": "c", "state": "skipped", "problems": ["POST is not sent again"], "status": None, "first_byte_ms": None},
]


def test_a_report_to_the_byte() -> None:
    assert junit.document("cases on v3", RESULTS, {"a": "POST /score"}).decode() == (
        "<?xml version='1.0' encoding='utf-8'?>\n"
        "<testsuites>\n"
        '  <testsuite name="cases on v3" errors="0" tests="3" failures="1" skipped="1">\n'
        '    <testcase classname="cases on v3" name="a POST /score" time="0.013" />\n'
        '    <testcase classname="cases on v3" name="b" time="0.000">\n'
        '      <failure message="status 500">status 500\n'
        "it is &lt;late&gt; &amp; \\u001b[31mred</failure>\n"
        "    </testcase>\n"
        '    <testcase classname="cases on v3" name="c" time="0.000">\n'
        '      <skipped message="POST is not sent again" />\n'
        "    </testcase>\n"
        "  </testsuite>\n"
        "</testsuites>\n"
    )


def test_whatever_a_client_has_sent_it_is_xml() -> None:
    hostile = {"a": "".join(map(chr, (*range(256), 0xD800, 0xFFFE, 0x10FFFF)))}
    root = ElementTree.fromstring(junit.document("x\x00", RESULTS, hostile))
    assert len(root.findall(".//testcase")) == 3


def test_a_file_that_cannot_be_written_is_named() -> None:
    with pytest.raises(CommandError, match=r"--junit /nowhere/a\.xml: No such file or directory"):
        junit.write("/nowhere/a.xml", b"")
