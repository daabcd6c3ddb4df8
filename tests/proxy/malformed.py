"""Request heads out of the grammar of RFC 9110 and RFC 9112: fields, hosts, request lines, expectations."""

from __future__ import annotations

from typing import Final

from tests.proxy.smuggling import CHUNKED, EMPTY_BODY, HIDDEN, LENGTH, Bad, with_field, with_lines

FIELDS: Final = [
    *(
        Bad(f"field {line!r}", with_lines(line, start=b"GET /a HTTP/1.1"))
        for line in (
            *(
                b": x",
                b":",
                b"X",
                b"X y",
                b"X : y",
                b"X\t: y",
                b" X: y",
                b"\tX: y",
                b"X\x00: y",
                b"X: \x00",
                b"X: a\x00b",
            ),
            *(
                b"X: a\x01b",
                b"X: a\x08b",
                b"X: a\x0bb",
                b"X: a\x0cb",
                b"X: a\x1bb",
                b"X: a\x1fb",
                b"X: a\x7fb",
                b"X\x01: y",
            ),
            *(
                b"X\x7f: y",
                b"X\x80: y",
                b"X\xff: y",
                b"X(: y",
                b"X): y",
                b"X/Y: y",
                b"X[0]: y",
                b'X"Y": y',
                b"X{: y",
                b"X=Y",
            ),
            *(
                b"X@Y: y",
                b"X\\Y: y",
                b"X?Y: y",
                b"X<Y>: y",
                b"X,Y: y",
                b"X;Y: y",
                b"X\rY: y",
                b"X: a\rb",
                b"X: a\r",
                b"\r",
            ),
            *(
                b"X: a\nY: b",
                b"X: a\n",
                b"\nX: a",
                b"X: a\r\n b",
                b"X: a\r\n\tb",
                b"X: a\r\n \r\n b",
                b"X:\r\n y",
                b"X\r\n: y",
            ),
            *(b"X: a\n b", b"X: a\r\rY: b", b"X: a\r\r\nY: b", b"X: a\n\rY: b", b"X: a\x85\nY: b"),
        )
    ),
    Bad("folded first field", b"GET / HTTP/1.1\r\n Host: t\r\n\r\n"),
    Bad("folded Host", b"GET / HTTP/1.1\r\nHost:\r\n t\r\n\r\n"),
    Bad("folded length", with_lines(b"Content-Length:\r\n 5", body=b"hello")),
    Bad("folded coding", with_lines(b"Transfer-Encoding:\r\n chunked", body=EMPTY_BODY), (400, 501)),
    Bad("folded coding behind another", with_lines(b"Transfer-Encoding: x,\r\n chunked", body=EMPTY_BODY), (400, 501)),
    Bad("request hidden behind two LF", b"GET / HTTP/1.1\r\nHost: t\r\nX: y\n\n" + HIDDEN),
    Bad("request hidden behind LF CRLF", b"GET / HTTP/1.1\r\nHost: t\r\nX: y\n\r\n" + HIDDEN),
    Bad("request hidden behind CR CR", b"GET / HTTP/1.1\r\nHost: t\r\nX: y\r\r" + HIDDEN),
    Bad("coding hidden behind CR", with_lines(LENGTH + b"5", b"X: y\rTransfer-Encoding: chunked", body=b"hello")),
    Bad("coding hidden behind LF", with_lines(LENGTH + b"5", b"X: y\nTransfer-Encoding: chunked", body=b"hello")),
    Bad("length hidden behind LF", with_lines(b"X: y\nContent-Length: 35", body=HIDDEN)),
    Bad("bare LF everywhere", b"GET / HTTP/1.1\nHost: t\n\n"),
    Bad("bare CR everywhere", b"GET / HTTP/1.1\rHost: t\r\r"),
]

HOSTS: Final = [
    Bad("no Host", b"GET / HTTP/1.1\r\nX: y\r\n\r\n"),
    Bad("no field at all", b"GET / HTTP/1.1\r\n\r\n"),
    Bad("no Host, absolute-form", b"GET http://t/ HTTP/1.1\r\n\r\n"),
    Bad("two equal Hosts", b"GET / HTTP/1.1\r\nHost: t\r\nHost: t\r\n\r\n"),
    Bad("two Hosts", b"GET / HTTP/1.1\r\nHost: t\r\nX: y\r\nhost: u\r\n\r\n"),
    Bad("two Hosts, absolute-form", b"GET http://t/ HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n"),
    Bad("two Hosts, the first empty", b"GET / HTTP/1.1\r\nHost:\r\nHost: t\r\n\r\n"),
    Bad("two Hosts, the first malformed", b"GET / HTTP/1.1\r\nHost: u@b\r\nHost: t\r\n\r\n"),
    Bad("two Hosts, no space in the first", b"GET / HTTP/1.1\r\nHost:u\r\nHost: t\r\n\r\n"),
    Bad("two Hosts in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: t\r\nHost: u\r\n\r\n"),
    *(
        Bad(f"Host {value!r}", b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n")
        for value in (
            *(
                b"",
                b" ",
                b"a b",
                b"a,b",
                b"a, b",
                b"u@a",
                b"u:p@a",
                b"a/b",
                b"/a",
                b"a?b",
                b"a#b",
                b"http://a",
                b"a:b",
                b"a:65536",
                b"[::1]:99999",
                b"a:1:2",
            ),
            *(
                b"a:-1",
                b"a:+80",
                b"a:123456",
                b":80",
                b"[::1",
                b"::1",
                b"[::1]x",
                b"[g::1]",
                b"[]",
                b"[...]",
                b"[1::2::3]",
            ),
            *(
                b"a\x00",
                b"a\x0bb",
                b"a\tb",
                b"a\x7f",
                b"a\xff",
                b"a\\b",
                b'"a"',
                b"a|b",
                b"a^b",
                b"<a>",
                b"a%",
                b"a%zz",
                b"a%4",
            ),
        )
    ),
    Bad("absolute-form with a malformed Host", b"GET http://t/ HTTP/1.1\r\nHost: a b\r\n\r\n"),
    Bad("Host with a space before the colon", b"GET / HTTP/1.1\r\nHost : t\r\n\r\n"),
    Bad("Host behind a NUL name", b"GET / HTTP/1.1\r\n\x00Host: t\r\n\r\n"),
]


def _start(name: str, start: bytes, *statuses: int, body: bytes = b"") -> Bad:
    return Bad(name, with_lines(start=start, body=body), statuses or (400,))


REQUEST_LINES: Final = [
    *(
        _start(f"version {version!r}", b"GET / " + version, 400, 505)
        for version in (
            *(
                b"HTTP/0.9",
                b"HTTP/2.0",
                b"HTTP/2",
                b"HTTP/3.0",
                b"HTTP/1.2",
                b"HTTP/1.9",
                b"HTTP/0.0",
                b"HTTP/9.9",
                b"HTTP/1",
            ),
            *(
                b"HTTP/1.",
                b"HTTP/1.1x",
                b"HTTP/1.11",
                b"HTTP/11.1",
                b"HTTP/01.1",
                b"HTTP/1,1",
                b"http/1.1",
                b"Http/1.1",
            ),
            *(
                b"HTTP 1.1",
                b"HTTP/ 1.1",
                b"HTTP/1 .1",
                b"HTTP/1.1 ",
                b"HTTP/1.1\t",
                b"HTTP/1.1\x00",
                b"HTTPS/1.1",
                b"ICE/1.0",
            ),
            *(
                b"RTSP/1.0",
                b"XHTTP/1.1",
                b"HTTP/+1.1",
                b"HTTP/1.-1",
                b"HTTP/1.1 HTTP/1.1",
                b"HTTP\\1.1",
                b"HTTP/\xb9.1",
                b"",
            ),
        )
    ),
    Bad("HTTP/0.9", b"GET /\r\n\r\n"),
    Bad("HTTP/0.9 without an end", b"GET /\r\n"),
    *(
        _start(f"line {line!r}", line)
        for line in (
            *(
                b"GET  / HTTP/1.1",
                b"GET\t/ HTTP/1.1",
                b"GET /  HTTP/1.1",
                b"GET /\tHTTP/1.1",
                b" GET / HTTP/1.1",
                b"GET HTTP/1.1",
            ),
            *(
                b"GET / a HTTP/1.1",
                b"GET /a\x00b HTTP/1.1",
                b"GET /\x01 HTTP/1.1",
                b"GET /\x7f HTTP/1.1",
                b"GET /\x0b HTTP/1.1",
            ),
            *(
                b"\x00GET / HTTP/1.1",
                b"GET\x00/ HTTP/1.1",
                b"GET /\r HTTP/1.1",
                b"GET /\n HTTP/1.1",
                b"GET",
                b"/ HTTP/1.1",
                b"X",
            ),
            *(
                b"GET /a#b HTTP/1.1",
                b"GET # HTTP/1.1",
                b"GET a HTTP/1.1",
                b"GET a/b HTTP/1.1",
                b"GET * HTTP/1.1",
                b"POST * HTTP/1.1",
            ),
            *(
                b"GET ?a HTTP/1.1",
                b"GET http:/t/ HTTP/1.1",
                b"GET http:// HTTP/1.1",
                b"GET http:///a HTTP/1.1",
                b"GET //t HTTP/1.1\r",
            ),
            *(
                b"GET http://u@t/ HTTP/1.1",
                b"GET http://t u/ HTTP/1.1",
                b"GET ftp://t/ HTTP/1.1",
                b"GET file:///etc/x HTTP/1.1",
            ),
            *(
                b"GET http://t,u/ HTTP/1.1",
                b"GET http://[::1/ HTTP/1.1",
                b"GET http://t:x/ HTTP/1.1",
                b"GET http://t/#f HTTP/1.1",
            ),
            *(
                b"GET t:80 HTTP/1.1",
                b"GET gopher: HTTP/1.1",
                b"OPTIONS ** HTTP/1.1",
                b"GET \\a HTTP/1.1",
                b"GET .. HTTP/1.1",
            ),
        )
    ),
    *(
        _start(f"method {method!r}", method + b" /a HTTP/1.1", 400, 405, 501, body=HIDDEN)
        for method in (
            *(
                b"get",
                b"Get",
                b"gET",
                b"GET:",
                b"G ET",
                b"G\x00ET",
                b"G\xc3ET",
                b"(GET)",
                b"GET,POST",
                b"G@T",
                b"GET/",
                b"head",
            ),
            *(
                b"X" * 41,
                b"X" * 9000,
                b"PRI",
                b"CONNECT",
                b"TRACE",
                b"TRACK",
                b"\xff",
                b'"GET"',
                b"G{T",
                b"Trace",
                b"_GET",
                b"!GET",
                b"GET!",
                b"brew",
            ),
        )
    ),
    Bad("CONNECT to an authority", b"CONNECT t:443 HTTP/1.1\r\nHost: t:443\r\n\r\n" + HIDDEN, (400, 405, 501)),
    Bad("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    Bad("TLS client hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    Bad("PROXY protocol", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + HIDDEN),
    Bad("a response", b"HTTP/1.1 200 OK\r\nHost: t\r\nContent-Length: 0\r\n\r\n"),
    Bad("many empty lines", b"\r\n" * 9 + HIDDEN),
    Bad("an empty line of LF", b"\n" + HIDDEN),
    Bad("a space before the request", b" " + HIDDEN),
    Bad("a byte order mark", b"\xef\xbb\xbf" + HIDDEN),
]

EXPECTATIONS: Final = [
    with_field("unknown expectation", b"Expect: x", 400, 417),
    with_field("two expectations", b"Expect: 100-continue, x", 400, 417),
    with_field("expectation with a parameter", b"Expect: 100-continue;a", 400, 417),
    with_field("empty expectation", b"Expect:", 400, 417),
    Bad("expectation and an ambiguous length", with_lines(b"Expect: 100-continue", LENGTH + b"5", LENGTH + b"6")),
    Bad("upgrade to h2c with an ambiguous length", with_lines(b"Upgrade: h2c", LENGTH + b"5", CHUNKED)),
    Bad("websocket without Host", b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" + HIDDEN),
]

BEYOND: Final = [
    Bad(
        "one byte more than a head may have", b"GET /a HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 32736 + b"\r\n\r\n", (431,)
    ),
    Bad("one empty line too many", b"\r\n" * 5 + HIDDEN),
    Bad("a length of 19 digits", with_lines(LENGTH + b"0000000000000000005", body=b"hello")),
    Bad("an https URL without TLS", b"GET https://t/ HTTP/1.1\r\nHost: t\r\n\r\n", (400, 421)),
    Bad("an https URL in capitals", b"GET HTTPS://t/ HTTP/1.1\r\nHost: t\r\n\r\n", (400, 421)),
    Bad("an https URL with nobody's path", b"OPTIONS https://t HTTP/1.1\r\nHost: t\r\n\r\n", (400, 421)),
    *(
        Bad(f"absolute {target!r}", b"GET " + target + b" HTTP/1.1\r\nHost: t\r\n\r\n")
        for target in (
            *(
                b"ws://t/",
                b"wss://t/",
                b"http:t/",
                b"http//t/",
                b"http://?a",
                b"http://:80/",
                b"http://t\\u/",
                b"http://t:8x/",
            ),
            *(
                b"http://[v1.a]/",
                b"http://[::1]x/",
                b"http://%zz/",
                b"http://t@/",
                b"http://@t/",
                b"http://t%/",
                b"urn:a:b",
                b"about:",
            ),
            *(b"@u/", b";/", b"&", b"%2f", b"t/a", b"javascript:a", b"data:,a", b"mailto:u@t", b"+", b"http://t,/"),
        )
    ),
    Bad("HEAD of everything", b"HEAD * HTTP/1.1\r\nHost: t\r\n\r\n"),
    Bad("a zone in Host", b"GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n"),
    with_field("two expectations in one field", b"Expect: 100-continue, 100-continue", 400, 417),
    Bad("a NUL behind the head of a request", HIDDEN.replace(b"/hidden", b"/first") + b"\x00" + HIDDEN, served=1),
    Bad("a bare CR between requests", HIDDEN.replace(b"/hidden", b"/first") + b"\r" + HIDDEN, served=1),
    Bad("a bare LF between requests", HIDDEN.replace(b"/hidden", b"/first") + b"\n" + HIDDEN, served=1),
    Bad("a space between requests", HIDDEN.replace(b"/hidden", b"/first") + b" " + HIDDEN, served=1),
]

MALFORMED: Final = [*BEYOND, *FIELDS, *HOSTS, *REQUEST_LINES, *EXPECTATIONS]
