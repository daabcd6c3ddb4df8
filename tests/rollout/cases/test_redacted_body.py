from __future__ import annotations

import gzip
import zlib

import pytest

from router.rollout.cases import redacted_body
from router.rollout.cases.redacted_body import DECODED_BYTES_MAX, RedactedBody
from router.rollout.cases.redaction import HIDDEN, redaction
from tests.texts import golden

DEEP = b'{"a":' * 1000 + b'{"email":"x@y.org"}' + b"}" * 1000


@pytest.mark.parametrize(
    ("paths", "patterns", "before", "after"),
    [
        pytest.param([], [], b'{"a": 1}', b'{"a": 1}', id="no rules: to the byte"),
        pytest.param(["/b"], [], b'{"a": 1}', b'{"a": 1}', id="nothing to redact: to the byte"),
        pytest.param(["/user/name"], [], b'{"user":{"name":"Ann","age":3}}',
                     b'{"user":{"name":"[redacted]","age":3}}', id="a text"),
        pytest.param(["/age"], [], b'{"age":31,"name":"x"}', b'{"age":0,"name":"x"}', id="a number"),
        pytest.param(["/**"], [], b'[true,null,1.5,"x",{}]', b'[false,null,0,"[redacted]",{}]', id="each keeps its kind"),
        pytest.param(["/items/*/id"], [], b'{"items":[{"id":"a","v":1},{"id":"b"}]}',
                     b'{"items":[{"id":"[redacted]","v":1},{"id":"[redacted]"}]}', id="any item"),
        pytest.param(["/items/1"], [], b'{"items":[{"id":"a"},{"id":"b","x":2}]}',
                     b'{"items":[{"id":"a"},{"id":"[redacted]","x":0}]}', id="everything below"),
        pytest.param(["/**/email"], [], b'{"email":"a","u":[{"email":"b"}],"emails":"c"}',
                     b'{"email":"[redacted]","u":[{"email":"[redacted]"}],"emails":"c"}', id="at any depth"),
        pytest.param([], [r"\d{4}-\d{4}"], b'{"note":"card 1234-5678.","1234-5678":1}',
                     b'{"note":"card [redacted].","[redacted]":1}', id="a pattern, in names too"),
        pytest.param([], [r"\d{4}"], b"plain 1234", b"plain [redacted]", id="a pattern in what is no JSON"),
        pytest.param(["/a"], [], b"plain", None, id="no JSON: paths cannot be applied"),
        pytest.param([], ["x"], b"\xff\xfe", None, id="no text: patterns cannot be applied"),
        pytest.param([], ["x"], b"", b"", id="empty"),
    ],
)  # fmt: skip
def test_a_body(paths: list[str], patterns: list[str], before: bytes, after: bytes | None) -> None:
    assert redacted_body.body(redaction(paths, patterns, []), before).content == after


def test_depth_is_no_trouble() -> None:
    assert redacted_body.body(redaction(["/**/name"], [], []), DEEP).content == DEEP
    assert redacted_body.body(redaction(["/**/email"], [], []), DEEP).content is None, "too deep to be written again"


LONG = b"a" * 65_536
MAIL = r"[\w.+-]+@[\w-]+\.[\w.-]+"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b'{"a":"%b","b":"x@y.org"}' % LONG, b'{"a":"[redacted]","b":"[redacted]"}', id="a text"),
        pytest.param(b'{"%b":1}' % LONG, b'{"[redacted]":1}', id="a name"),
        pytest.param(LONG, None, id="no JSON"),
        pytest.param(b'{"a":"%b"}' % LONG[:1024], b'{"a":"%b"}' % LONG[:1024], id="as long as is searched"),
    ],
)
def test_no_text_of_a_client_makes_a_pattern_slow(before: bytes, after: bytes | None) -> None:
    """Before there was a limit, each of them but the last took half a minute, and nothing else ran meanwhile."""
    assert redacted_body.body(redaction([], [MAIL], []), before).content == after


def test_without_patterns_a_text_may_be_as_long_as_it_is() -> None:
    body = b'{"a":"%b"}' % LONG
    assert redacted_body.body(redaction(["/b"], [], []), body).content == body


CARDS = redaction([], [r"\d{4}-\d{4}"], [])
NAMES = redaction(["/**/name"], [], [])
CARD, NO_CARD = b'{"card":"1234-5678"}', b'{"card":"[redacted]"}'


def deflated(content: bytes) -> bytes:
    """Return what some senders call deflate: without the header of zlib."""
    return zlib.compress(content, wbits=-15)


@pytest.mark.parametrize(
    ("coding", "encode", "decode"),
    [
        pytest.param("gzip", gzip.compress, gzip.decompress, id="gzip"),
        pytest.param("X-GZIP", gzip.compress, gzip.decompress, id="its old name"),
        pytest.param("deflate", zlib.compress, zlib.decompress, id="deflate"),
        pytest.param("deflate", deflated, zlib.decompress, id="deflate without a header"),
        pytest.param("identity", bytes, bytes, id="identity"),
    ],
)
def test_a_compressed_body_is_redacted_inside(coding: str, encode: type[bytes], decode: type[bytes]) -> None:
    found = redacted_body.body(CARDS, encode(CARD), {"content-encoding": coding})
    assert found.content is not None
    assert (decode(found.content), found.changed) == (NO_CARD, True)
    untouched = encode(b'{"a":1}')
    assert redacted_body.body(CARDS, untouched, {"content-encoding": coding}) == RedactedBody(untouched)


@pytest.mark.parametrize(
    ("fields", "content", "why"),
    [
        pytest.param({"content-encoding": "br"}, CARD, "its Content-Encoding 'br' cannot be read", id="br"),
        pytest.param({"content-encoding": "zstd"}, CARD, "its Content-Encoding 'zstd' cannot be read", id="zstd"),
        pytest.param({"content-encoding": "gzip, gzip"}, CARD, "its Content-Encoding 'gzip, gzip' cannot", id="twice"),
        pytest.param({"content-encoding": "gzip"}, CARD, "it is not gzip", id="no gzip"),
        pytest.param({"content-encoding": "gzip"}, gzip.compress(CARD)[:-9], "it is not one whole gzip", id="cut"),
        pytest.param({"content-encoding": "gzip"}, gzip.compress(CARD) + CARD, "it is not one whole gzip", id="a tail"),
        pytest.param(
            {"content-encoding": "gzip"},
            gzip.compress(b" " * (DECODED_BYTES_MAX + 1)),
            "it is not one whole",
            id="bomb",
        ),
        pytest.param({"content-type": "text/plain; charset=utf-16"}, b"1\0", "it is neither JSON nor", id="UTF-16"),
        pytest.param(
            {"content-type": "text/plain; charset=UTF-7"}, b"+ADE-", "it is neither JSON nor text", id="UTF-7"
        ),
        pytest.param({}, b"\x0a\x04Anna\x10\x01", "it is neither JSON nor text", id="protobuf, valid UTF-8 by chance"),
        pytest.param(
            {"content-type": "application/x-protobuf"},
            b"\x0a 1234-5678",
            "redaction would break its format",
            id="protobuf",
        ),
        pytest.param(
            {"content-type": "application/x-ndjson"},
            b'{"a":"1234\\u002d5678"}\n{}\n',
            "nothing of it would",
            id="escaped",
        ),
        pytest.param({"content-type": "application/msgpack"}, b"\x81\xa1a\x01", "it is neither JSON nor", id="msgpack"),
        pytest.param(
            {"content-type": "application/grpc-web-text+proto"},
            b"MTIzNC01Njc4",
            "its text is encoded",
            id="base64 of gRPC-Web",
        ),
        pytest.param(
            {"content-type": "multipart/form-data; boundary=b"},
            b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\nMTIzNC01Njc4\r\n--b--\r\n",
            "its text is encoded",
            id="base64 in a part",
        ),
        pytest.param(
            {"content-type": "multipart/form-data; boundary=1234-5678"},
            b"--1234-5678\r\n\r\nx\r\n--1234-5678--\r\n",
            "redaction would change the boundary",
            id="a boundary that a pattern finds",
        ),
    ],
)
def test_what_patterns_cannot_look_at_is_dropped(fields: dict[str, str], content: bytes, why: str) -> None:
    found = redacted_body.body(CARDS, content, fields)
    assert (found.content, found.why[: len(why)]) == (None, why)
    assert redacted_body.body(redaction([], [], []), content, fields) == RedactedBody(content), "no rules: to the byte"


@pytest.mark.parametrize(
    ("fields", "before", "after"),
    [
        pytest.param(
            {"content-type": 'multipart/form-data; boundary="b"'},
            b'--b\r\nContent-Disposition: form-data; name="n"\r\n\r\n1234-5678\r\n--b--\r\n',
            b'--b\r\nContent-Disposition: form-data; name="n"\r\n\r\n[redacted]\r\n--b--\r\n',
            id="a part",
        ),
        pytest.param(
            {"content-type": "application/x-www-form-urlencoded"},
            b"a=1234%2D5678&b=x+y&c=1234-5678&c=a%26b",
            b"a=[redacted]&b=x+y&c=[redacted]&c=a%26b",
            id="a form, as its values are meant",
        ),
        pytest.param({"content-type": "text/csv; charset=iso-8859-1"}, b"1,1234-5678", b"1,[redacted]", id="CSV"),
        pytest.param({"content-type": "application/octet-stream"}, b"harmless", b"harmless", id="nothing found"),
    ],
)
def test_other_texts(fields: dict[str, str], before: bytes, after: bytes) -> None:
    assert redacted_body.body(CARDS, before, fields).content == after


def tensors(header: bytes, data: bytes) -> tuple[bytes, dict[str, str]]:
    return header + data, {"inference-header-content-length": str(len(header))}


def test_binary_tensors_keep_their_data_and_get_the_length_of_the_new_json() -> None:
    content, fields = tensors(b'{"id":"1234-5678","inputs":[{"name":"x","datatype":"FP32"}]}', b"\x01\xff")
    found = redacted_body.body(CARDS, content, fields)
    header = b'{"id":"[redacted]","inputs":[{"name":"x","datatype":"FP32"}]}'
    assert found == RedactedBody(header + b"\x01\xff", True, {"inference-header-content-length": str(len(header))})
    compressed = redacted_body.body(CARDS, gzip.compress(content), fields | {"content-encoding": "gzip"})
    assert compressed.content is not None
    assert (gzip.decompress(compressed.content), compressed.fields) == (found.content, found.fields)


@pytest.mark.parametrize("length", ["", "-1", "1.5", "99999", "٣", "1" * 40])
def test_a_length_that_does_not_fit_is_dropped(length: str) -> None:
    found = redacted_body.body(NAMES, b"{}", {"inference-header-content-length": length})
    assert (found.content, found.why[:34]) == (None, "its Inference-Header-Content-Lengt")


def test_hidden_is_nothing() -> None:
    assert redacted_body.body(HIDDEN, b"{}") == RedactedBody(None, why=golden("cases.hidden_body"))


def test_an_answer_without_its_encoding() -> None:
    fields = {"content-encoding": "gzip"}
    assert redacted_body.uncompressed(gzip.compress(b"{}"), fields) == b"{}"
    assert redacted_body.uncompressed(b"{}", fields) is None
    assert redacted_body.uncompressed(b"{}", {}) == b"{}"
    assert redacted_body.uncompressed(b"{}", {"content-encoding": "br"}) is None
