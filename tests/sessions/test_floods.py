"""Floods: whatever the code of a session pours out, no process of the server grows with it, and what is told
of it is true."""
import os

import mcp
import pytest
from callers import Session, Stdio, end_of, paged
from weight import Weight

CEILING = 16 << 20          # of a stream, sandbox_info's output_bytes
LINE = 16                   # bytes of a numbered line

# Writes 10 GiB of numbered lines to a descriptor, as far as it gets; it does not care for interrupts.
POUR = """
import itertools, os, signal
{deaf}
def block(first, lines=65536):
    return b''.join(b'%015d\\n' % n for n in range(first, first + lines))
sent = 0
while sent < 10 << 30:
    data = memoryview(block(sent // 16))
    while data:
        n = os.write({fd}, data)
        data, sent = data[n:], sent + n
"""
DEAF = "signal.signal(signal.SIGINT, signal.SIG_IGN)"


def check_lines(text, first, where):
    """text is what a stream of numbered lines has from line `first` on."""
    lines = text.split("\n")
    for i, line in enumerate(lines[:-1]):
        assert line == f"{first + i:015d}", (where, first + i, line)


@pytest.mark.parametrize("deaf", ["", DEAF], ids=["hears", "deaf"])
@pytest.mark.parametrize("stream, fd", [("stdout", 1), ("stderr", 2)])
def test_ten_gib_of_a_stream_end_at_the_ceiling(stdio, stream, fd, deaf):
    session = Session(stdio)
    session.tool("artifact_upload", path="f", content="here")
    session.good("x = 1")
    with Weight(stdio.pid) as weight:
        run_id = session.begin(POUR.format(fd=fd, deaf=deaf))
        session.end_of(run_id)
        end = stdio.call("run_status", {"run_id": run_id})
    assert end["status"] == "output_limit" and "output" in end["limits_hit"], end
    assert end.get("variables_lost", False) is bool(deaf)
    total, dropped = end[f"{stream}_bytes"], end.get(f"{stream}_dropped_bytes", 0)
    kept = paged(stdio, run_id, stream)
    # after an interrupt there is a traceback in stderr, behind the lines
    assert len(kept) == CEILING and total == CEILING + dropped and dropped > 0
    check_lines(kept, 0, "kept")
    weight.check()
    after = session.good("'x' in globals(), open('f').read()")
    assert after["outputs"][0]["text"] == f"({not deaf}, 'here')"
    other = "stderr" if stream == "stdout" else "stdout"
    assert after["stdout_bytes"] == 0 and end[f"{other}_bytes"] < 4096


def test_the_count_of_a_flood_is_that_of_its_writer(stdio):
    """A program of its own, which says in a file how much it got rid of before it was ended."""
    session = Session(stdio)
    with Weight(stdio.pid) as weight:
        answer = session.program("python3", "-c", POUR.format(fd=1, deaf=DEAF).replace(
            "data, sent = data[n:], sent + n",
            "data, sent = data[n:], sent + n\n        os.pwrite(count, b'%d' % sent, 0)").replace(
            "sent = 0", "sent = 0; count = os.open('count', os.O_RDWR | os.O_CREAT)"))
    assert answer["status"] == "output_limit", answer
    counted = int(session.download("count")[0])
    # what one write was still doing when it was killed is not in its own count
    assert 0 <= answer["stdout_bytes"] - counted <= 1 << 20
    head, tail = answer["stdout"].split("\n", 1)[0], answer["stdout"].rstrip("\n").rsplit("\n", 1)[1]
    assert head == f"{0:015d}" and abs(int(tail) * LINE - answer["stdout_bytes"]) <= 2 * LINE
    weight.check()


def test_what_is_poured_out_between_calls_waits_and_is_counted(stdio):
    session = Session(stdio)
    session.good("import subprocess, os\nflood = subprocess.Popen(['sh', '-c', "
                 "'while :; do cat /dev/zero; done'])")
    with Weight(stdio.pid) as weight:
        # other sessions, and other languages of this one, do not suffer
        for _ in range(5):
            assert Session(stdio).value("6 * 7") == "42"
            assert session.shell("echo here")["stdout"] == "here\n"
        answer = session.run("print('mine')\nflood.kill()\nflood.wait()")
    weight.check()
    assert answer["status"] in ("exited", "output_limit")
    assert answer["stdout_bytes"] > 0
    if answer["status"] == "exited":
        assert set(answer["stdout"].replace("mine\n", "").split("\n")[0][:100]) <= {"\0"}
    quiet = session.run("print('again')")
    while quiet["stdout_bytes"] != len("again\n"):     # what was still in the pipe
        quiet = session.run("print('again')")
    assert quiet["stdout"] == "again\n"


def test_a_background_process_that_goes_on_printing_holds_nobody_up(stdio):
    session = Session(stdio, language="bash")
    session.good("(while :; do echo tick; sleep .01; done) & pid=$!")
    ticks = 0
    for i in range(20):
        answer = session.good(f"echo call {i}")
        assert f"call {i}\n" in answer["stdout"]
        assert set(answer["stdout"].replace(f"call {i}\n", "").split()) <= {"tick"}
        ticks += answer["stdout"].count("tick")
    session.good("kill $pid; wait $pid 2>/dev/null; true")
    assert ticks > 0


# --- rich lines -----------------------------------------------------------------------------------

# What hostile code can do: the number of its call and the pipe of the driver are in its reach.
RICH = "import os\ncall = display.__globals__['call']\nos.write(4, b'')\n"


def test_an_endless_line_of_the_rich_channel_ends(stdio):
    session = Session(stdio)
    with Weight(stdio.pid) as weight:
        end = session.run(RICH + "while True:\n    os.write(4, b'x' * (1 << 20))")
    assert end["status"] == "output_limit", end
    assert session.run("1 + 1")["outputs"][-1]["text"] == "2"
    weight.check()


def test_a_million_records_are_counted(stdio):
    session = Session(stdio)
    with Weight(stdio.pid) as weight:
        answer = session.run(RICH + """
sent = 0
record = b'{"call":%d,"kind":"display","data":{"text/plain":"x"}}\\n' % call
try:
    while sent < 10 ** 6:
        data = memoryview(record * 1000)
        while data:
            data = data[os.write(4, data):]
        sent += 1000
finally:
    print(sent)
""")
    weight.check()
    assert answer["status"] == "output_limit", answer       # so many are a flood
    shown = [o for o in answer["outputs"] if o["type"] == "display"]
    assert len(shown) == 64 and all(o == {"type": "display", "text": "x"} for o in shown)
    # it counts in thousands; and its own end, an error, is one more
    assert 0 <= answer["outputs_left_out"] + 64 - int(answer["stdout"]) <= 1001
    assert "variables_lost" not in answer


def test_what_is_too_much_is_counted_one_by_one(stdio):
    session = Session(stdio)
    answer = session.good("for i in range(200): display(i)")
    assert len(answer["outputs"]) == 64 and answer["outputs_left_out"] == 136
    answer = session.good(RICH + """
line = b'{"call":%d,"kind":"display","data":{"text/plain":"%s"}}\\n' % (call, b'y' * 1000000)
for i in range(48):
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(4, rest):]
""")
    assert len(answer["outputs"]) + answer["outputs_left_out"] == 48
    assert session.value("2 + 2") == "4"


def test_records_that_are_none_are_left_out_and_counted(stdio):
    session = Session(stdio)
    bad = [b"", b"\xff\xfe\x00", b"{", b"null", b"[]", b'{"call":1}', b'{"kind":"display"}', b"{}" * 500,
           b"[" * 100000, b'{"a":' * 5000, b'{"call":%d,"kind":"display","data":{"text/plain":5}}',
           b'{"call":%d,"kind":"nothing","data":{"text/plain":"x"}}',
           b'{"call":%d,"kind":"display","data":{"text/plain":"a","text/plain":"b"},"data":{}}',
           b'{"call":%d,"kind":"error","error":{"type":1,"message":[],"traceback":null}}',
           b'{"call":%d,"kind":"display","data":{"image/png":"!!!!"}}',
           b'{"call":%d,"kind":"display","data":{"../../etc/passwd":"eHg="}}']
    with Weight(stdio.pid) as weight:
        for line in bad:
            answer = session.run(RICH + f"for i in range(200):\n    os.write(4, {line!r}"
                                 f".replace(b'%d', b'%d' % call) + b'\\n')\n'mine'")
            assert (answer["status"], answer["exit_code"]) == ("exited", 0), (line[:60], answer)
            assert answer["outputs"][-1] == {"type": "result", "text": "mine".__repr__()} or \
                len(answer["outputs"]) == 64, (line[:60], answer["outputs"][-3:])
            assert answer.get("outputs_left_out", 0) > 0 or len(answer["outputs"]) > 1, line[:60]
    weight.check()


# --- what programs of one user share, in the kernel ---------------------------------------------------

ORDINARY = 4243
SEND_DESCRIPTORS = """
import array, os, socket, time
while not os.path.exists('go'):
    time.sleep(0.01)
held = socket.socketpair()
held[0].setblocking(False)
try:
    while True:
        held[0].sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0] * 253))])
except OSError as full:
    print(full.strerror)
"""


def test_descriptors_on_their_way_stop_no_server():
    """A user may have so many on their way. A program has more than that from then on; the server has
    something to tell with descriptors, of a call that has long been queued."""
    # hardly more than a program may have open: so one of them is enough
    with Stdio(uid=ORDINARY if os.geteuid() == 0 else None, open_files=1100,
               env={"FUMEHOOD_MAX_RUNS": "1"}) as caller:
        hostile, other = Session(caller), Session(caller)
        other.good("kept = 42")
        attack = hostile.begin(SEND_DESCRIPTORS)
        queued = caller.call("run_command", {"command": "echo queued", "background": True})["run_id"]
        hostile.tool("artifact_upload", path="go", content="")
        assert hostile.end_of(attack)["stdout_bytes"] > 0
        with pytest.raises(mcp.ToolError, match="busy"):
            other.run("kept")
        assert len(caller.call("session_list")["sessions"]) == 2
        hostile.close()
        with pytest.raises(mcp.ToolError, match="busy"):
            end_of(caller, queued)
        assert other.value("kept") == "42"
