"""Lines that are no proper message: each gets an error that says what to do, and the server lives on."""
import json

import mcp
import pytest

PING = '{"jsonrpc":"2.0","id":7007,"method":"ping"%s}'
CALL = ('{"jsonrpc":"2.0","id":7007,"method":"tools/call","params":{"name":"run_code",'
        '"arguments":{"language":"python","code":"print(1)"%s}}}')

CASES = {
    # what: (line, id in the answer, codes, a word of the message or the remediation)
    "an open brace": ("{", None, [-32700], ""),
    "no JSON": ("hello", None, [-32700], ""),
    "two values": ("{} {}", None, [-32700], ""),
    "a comma too many": (PING % ',"params":{},', 7007, [-32700], ""),
    "single quotes": ("{'jsonrpc':'2.0'}", None, [-32700], ""),
    "NaN": (PING % ',"params":{"a":NaN}', 7007, [-32700], ""),
    "Infinity": (PING % ',"params":{"a":-Infinity}', 7007, [-32700], ""),
    "a leading zero": (PING % ',"params":{"a":01}', 7007, [-32700], ""),
    "a byte order mark": ("\ufeff" + PING % "", None, [-32700], ""),
    "a tab in a string": (PING % ',"params":{"a":"\t"}', 7007, [-32700], ""),
    "nesting of 10^6": (PING % (',"params":{"a":' + "[" * 10**6 + "]" * 10**6 + "}"), 7007,
                        [-32600], "deep"),
    "nesting of 10^6, unclosed": (PING % (',"params":{"a":' + '{"a":' * 10**6), 7007,
                                  [-32600], "deep"),
    "a duplicate key": (PING % ',"params":{"a":1,"a":2}', 7007, [-32600], "a"),
    "a duplicate key, spelt otherwise": (PING % ',"params":{"a":1,"\\u0061":2}', 7007, [-32600], ""),
    "a duplicate method": (PING % ',"method":"tools/list"', 7007, [-32600], "method"),
    "invalid UTF-8": (b'{"jsonrpc":"2.0","id":7007,"method":"ping","params":{"a":"\xff\xfe"}}', 7007,
                      [-32700], "UTF-8"),
    "overlong UTF-8": (b'{"jsonrpc":"2.0","id":7007,"method":"ping","params":{"a":"\xc0\x80"}}', 7007,
                       [-32700], "UTF-8"),
    "a surrogate in UTF-8": (b'{"jsonrpc":"2.0","id":7007,"method":"ping","params":{"a":"\xed\xa0\x80"}}',
                             7007, [-32700], "UTF-8"),
    "a lone surrogate": (PING % ',"params":{"a":"\\ud800"}', 7007, [-32600], "surrogate"),
    "a lone low surrogate": (PING % ',"params":{"a":"\\udc00x"}', 7007, [-32600], "surrogate"),
    "an escaped NUL": (PING % ',"params":{"a":"\\u0000"}', 7007, [-32600], "NUL"),
    "a raw NUL": (b'{"jsonrpc":"2.0","id":7007,\x00"method":"ping"}', 7007, [-32700, -32600], ""),
    "an empty batch": ("[]", None, [-32600], "batch"),
    "a batch": (f"[{PING % ''},{PING % ''}]", None, [-32600], "batch"),
    "a number": ("7", None, [-32600], "object"),
    "a string": ('"ping"', None, [-32600], "object"),
    "null": ("null", None, [-32600], "object"),
    "an empty object": ("{}", None, [-32600], "jsonrpc"),
    "another version": ('{"jsonrpc":"1.0","id":7007,"method":"ping"}', 7007, [-32600], "2.0"),
    "no version": ('{"id":7007,"method":"ping"}', 7007, [-32600], "jsonrpc"),
    "no method": ('{"jsonrpc":"2.0","id":7007}', 7007, [-32600], "method"),
    "a method that is a number": ('{"jsonrpc":"2.0","id":7007,"method":1}', 7007, [-32600], "method"),
    "a null id": ('{"jsonrpc":"2.0","id":null,"method":"ping"}', None, [-32600], "id"),
    "an id that is an object": ('{"jsonrpc":"2.0","id":{},"method":"ping"}', None, [-32600], "id"),
    "an id that is true": ('{"jsonrpc":"2.0","id":true,"method":"ping"}', None, [-32600], "id"),
    "a huge id": ('{"jsonrpc":"2.0","id":"%s","method":"ping"}' % ("i" * 100000), None,
                  [-32600], "id"),
    "params in an array": (PING % ',"params":[1]', 7007, [-32602], "params"),
    "params in a string": (PING % ',"params":"x"', 7007, [-32602], "params"),
    "an unknown method": ('{"jsonrpc":"2.0","id":7007,"method":"foo/bar"}', 7007, [-32601], "foo/bar"),
    "a method of 100 kB": ('{"jsonrpc":"2.0","id":7007,"method":"%s"}' % ("m" * 100000), 7007,
                           [-32601], "mmm"),
    "Content-Length framing": ("Content-Length: 17\r", None, [-32700], ""),
}


@pytest.mark.parametrize("what", CASES)
def test_it_is_answered_and_survived(shared, what):
    line, ident, codes, word = CASES[what]
    why = shared.raw_error(line, ident)
    assert why.code in codes
    assert word in why.message + why.data["remediation"]
    assert len(json.dumps(why.data)) < 2000
    shared.ping()


# Well-formed JSON in odd shapes of a call: an error or a result, never silence.
ODD = {
    "a number of 1000 digits": CALL % (',"timeout_ms":' + "9" * 1000),
    "1e400": CALL % ',"timeout_ms":1e400',
    "-1e400": CALL % ',"timeout_ms":-1e400',
    "1e-400": CALL % ',"timeout_ms":1e-400',
    "2^63": CALL % ',"timeout_ms":9223372036854775808',
    "-0": CALL % ',"timeout_ms":-0',
    "100,000 arguments": CALL % (',"args":[' + ",".join(['"x"'] * 100000) + "]"),
    "2,000,000 numbers": CALL % (',"args":[' + ",".join(["0"] * 2000000) + "]"),
    "100,000 unknown fields": CALL % "".join(f',"f{i}":0' for i in range(100000)),
    "a field with an empty name": CALL % ',"":1',
    "a field of 1 MB": CALL % (',"%s":1' % ("n" * 10**6)),
    "__proto__": CALL % ',"__proto__":{"x":1}',
    "another case of a name": CALL % ',"Timeout_MS":5',
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_call_is_answered(shared, what):
    with shared.lock:
        shared.judge.asked(7007, mcp.Asked("tools/call", shared.version, None, "run_code"))
    shared.raw(ODD[what])
    message = shared.answer(7007)
    assert "error" in message or message["result"].get("isError") or \
        message["result"]["structuredContent"]["status"] in ("exited", "timeout")    # of 100 ms
    assert len(json.dumps(message)) < 20000
    shared.ping()


def test_answers_to_nothing_are_ignored(shared):
    shared.write(b'{"jsonrpc":"2.0","id":1,"result":{}}\n')
    shared.write(b'{"jsonrpc":"2.0","id":"x","error":{"code":-32600,"message":"no"}}\n')
    assert shared.silent()


def test_ten_thousand_bad_lines_are_ten_thousand_errors(shared):
    with shared.lock:
        before = len(shared.lines) - len(shared.news)
        shared.judge.anonymous += 1
    shared.write(b"{bad\n" * 10000)
    for _ in range(10000):
        assert shared.answer(None)["error"]["code"] == -32700
    with shared.lock:
        assert len(shared.lines) - len(shared.news) == before + 10000


def test_what_a_program_prints_never_cuts_its_message(either):
    """Many clients read lines by what Unicode calls a line end: JavaScript's readline, Python's splitlines."""
    ends = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
    answer = either.run_code(code=f"print('a'.join({list(ends)!r}))")
    assert answer["stdout"] == "a".join(ends) + "\n"
    with either.lock:
        assert all(len(line.decode().splitlines()) == 1 for line in either.lines)
