"""The stream itself: framing, a reader that stalls, files and terminals in place of pipes."""
import array
import fcntl
import json
import os
import pty
import select
import subprocess
import tempfile
import termios

import cells
import mcp
import pytest
from processes import gone

PING = b'{"jsonrpc":"2.0","id":%d,"method":"ping"}'
PONG = b'{"jsonrpc":"2.0","id":%d,"result":{}}\n'


def expect_pong(server, ident):
    with server.lock:
        server.judge.asked(ident, mcp.Asked("ping", server.version, None, None))
    return lambda: server.answer(ident)


def test_crlf_and_blank_lines_are_taken(server):
    pong = expect_pong(server, 500)
    server.write(b"\r\n\n \t\n" + PING % 500 + b"\r\n\r\n")
    pong()


def test_a_message_may_come_byte_by_byte(server):
    pong = expect_pong(server, 500)
    for i in PING % 500 + b"\n":
        server.write(bytes([i]))
    pong()


def test_many_messages_may_come_at_once(server):
    pongs = [expect_pong(server, 1000 + i) for i in range(1000)]
    server.write(b"".join(PING % (1000 + i) + b"\n" for i in range(1000)))
    for pong in pongs:
        pong()


def test_the_last_line_needs_no_newline():
    with mcp.Server() as s:
        pong = expect_pong(s, 9)
        s.write(PING % 9)
        s.close_stdin()
        pong()


@pytest.mark.parametrize("warm", [False, True], ids=["sandboxes", "cells"])
def test_a_stalled_reader_stalls_neither_requests_nor_cancellation(warm):
    """The client does not read while megabytes wait for it; a cancelled run still dies."""
    with mcp.Server(options=[] if warm else cells.NONE) as s:
        s.initialize()
        s.tools()
        if warm:
            cells.warm_up(lambda: s.run_code(code="1"))
        watch = cells.Watch(s.proc.pid, warm)
        call = s.start("run_code", {"language": "python", "code": cells.named("while True: pass"),
                                    "timeout_ms": 60000})
        pids = watch.begun()
        read = len(s.lines)
        s.reading.clear()
        asked = [s.send("tools/list") for _ in range(300)]  # some 5 MB of answers
        s.notify("notifications/cancelled", {"requestId": call})
        cells.until("it does not read on", lambda: not unread_by(s.proc))
        assert gone(pids, cells.SECONDS), "the program still runs"
        assert len(s.lines) < read + 20
        with s.lock:
            s.judge.cancel(call)
        s.reading.set()
        for ident in asked:
            assert s.result_of(ident)["tools"]


def unread_by(proc):
    """Bytes still in the pipe to the server."""
    count = array.array("i", [0])
    fcntl.ioctl(proc.stdin.fileno(), termios.FIONREAD, count)
    return count[0]


def test_a_reader_that_goes_away_ends_the_server():
    with tempfile.TemporaryDirectory() as folder:
        proc = subprocess.Popen([mcp.BINARY, "stdio", "--state", os.path.join(folder, "s")],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL)
        proc.stdin.write(PING % 1 + b"\n")
        proc.stdin.flush()
        assert proc.stdout.readline() == PONG % 1
        proc.stdout.close()
        proc.wait(10)
        proc.stdin.close()


def test_requests_may_come_from_a_file():
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "in"), "w+b") as file:
            file.write(b"".join(PING % i + b"\n" for i in range(3000)))
            file.flush()
            file.seek(0)
            done = subprocess.run([mcp.BINARY, "stdio", "--state", os.path.join(folder, "s")],
                                  stdin=file, capture_output=True, timeout=20)
        assert done.returncode == 0
        assert done.stdout == b"".join(PONG % i for i in range(3000))


def test_answers_may_go_to_a_file():
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "out"), "w+b") as file:
            done = subprocess.run([mcp.BINARY, "stdio", "--state", os.path.join(folder, "s")],
                                  input=PING % 1 + b"\n", stdout=file, timeout=20)
            file.seek(0)
            assert (done.returncode, file.read()) == (0, PONG % 1)


def test_no_input_is_the_end():
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([mcp.BINARY, "stdio", "--state", os.path.join(folder, "s")],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
        assert (done.returncode, done.stdout) == (0, b"")


def test_a_terminal_keeps_its_flags():
    """A person may type at it; the shell that shares the terminal is not made non-blocking."""
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    with tempfile.TemporaryDirectory() as folder:
        proc = subprocess.Popen([mcp.BINARY, "stdio", "--state", os.path.join(folder, "s")],
                                stdin=slave, stdout=slave, stderr=subprocess.DEVNULL)
        os.write(master, PING % 1 + b"\n")
        text = b""
        while PONG.strip() % 1 not in text:
            assert select.select([master], [], [], 20)[0], text
            text += os.read(master, 4096)
        assert os.get_blocking(slave)
        os.write(master, b"\x04")
        assert proc.wait(mcp.EXIT_SECONDS) == 0
    os.close(master)
    os.close(slave)


def test_pipes_keep_their_flags():
    with tempfile.TemporaryDirectory() as folder:
        in_read, in_write = os.pipe()
        out_read, out_write = os.pipe()
        proc = subprocess.Popen([mcp.BINARY, "stdio", "--state", os.path.join(folder, "s")],
                                stdin=in_read, stdout=out_write, stderr=subprocess.DEVNULL)
        os.write(in_write, PING % 1 + b"\n")
        assert os.read(out_read, 4096) == PONG % 1
        assert os.get_blocking(in_read) and os.get_blocking(out_write)
        os.close(in_write)
        assert proc.wait(mcp.EXIT_SECONDS) == 0
        for fd in (in_read, out_read, out_write):
            os.close(fd)


def test_stderr_into_the_same_pipe_does_not_disturb_the_protocol():
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([mcp.BINARY, "stdio", "--state", os.path.join(folder, "s"),
                               "--log-level", "debug"],
                              input=PING % 1 + b"\n", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=20)
        assert done.stdout == PONG % 1


def test_a_program_cannot_write_into_the_protocol(server):
    """Every descriptor a program can reach is tried; the judge sees each line that comes."""
    got = server.run_code(code=(
        "import os\n"
        "for fd in range(3, 256):\n"
        "    try: os.write(fd, b'{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\\n')\n"
        "    except OSError: pass\n"
        "print('tried')"))
    assert got["stdout"] == "tried\n"
    assert json.loads(server.lines[-1])["result"]["structuredContent"] == got
