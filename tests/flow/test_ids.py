"""Request ids come back exactly as they were sent, and only one request may have one at a time."""
import json

import mcp
import pytest

WAIT = {"language": "python", "code": "import time; time.sleep(3); print('first')"}


@pytest.mark.parametrize("ident", [
    "0", "-1", "9007199254740993", "1.0", "1e3", "-0", "0.10", "123456789012345678901234567890",
    '""', '"a"', '"\\u00e9\\n"', '"\\/"', '"\u00e9\U0001f600"', '"null"'])
def test_an_id_is_echoed_to_the_letter(shared, ident):
    with shared.lock:
        shared.judge.asked(json.loads(ident), mcp.Asked("ping", shared.version, None, None))
    shared.write(b'{"jsonrpc":"2.0","id":%s,"method":"ping"}\n' % ident.encode())
    shared.answer(json.loads(ident))
    with shared.lock:
        line = shared.lines[-1].decode()
    assert f'"id":{ident},' in line


def test_an_id_in_flight_is_refused_and_the_first_call_goes_on(either):
    either.start("run_code", WAIT, ident="twice")
    either.send("tools/list", ident="twice")
    with pytest.raises(mcp.RpcError) as why:
        either.result_of("twice")
    assert why.value.code == -32600
    assert "twice" in why.value.message
    assert either.finish("twice")["stdout"] == "first\n"
    either.send("tools/list", ident="twice")
    assert either.result_of("twice")["tools"]
