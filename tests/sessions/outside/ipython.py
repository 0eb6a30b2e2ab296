"""IPython, step after step: what a session's Python is compared with.

A line of JSON {"code", "stdin"} comes in on descriptor 3, one goes out when the step has ended: {"exit",
"value", "displays", "error"}. All else is IPython's own: run_cell, its displays, its loop.
"""
import base64
import io
import json
import os
import sys
import warnings

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

LINE = os.fdopen(3, "r+b", buffering=0)
sys.stdout.reconfigure(line_buffering=True)     # as at a terminal

warnings.filterwarnings("ignore", "To exit: use")        # its advice on sys.exit()
config = Config()
config.HistoryManager.enabled = False                   # a database that an interrupt can spoil
shell = InteractiveShell.instance(config=config)
# IPython wraps and sorts what it prints; a session shows the repr.
shell.display_formatter.formatters["text/plain"].pprint = False
values, displays = [], []


def keep(formats, _metadata=None):
    values.append(formats)


def publish(data, *_, **__):
    displays.append(data)


shell.displayhook.write_output_prompt = lambda: None
shell.displayhook.write_format_data = keep
shell.displayhook.finish_displayhook = lambda: None
shell.display_pub.publish = publish
# IPython prints its errors, with pictures of them, on stdout; here they are in the answer.
shell._showtraceback = lambda *_: None
shell.showindentationerror = lambda: None


def encoded(value):
    """Bytes as a notebook sends them."""
    return base64.b64encode(value).decode()


def line_of(error):
    """In the innermost frame of a cell; of a syntax error its own."""
    line, tb = None, error.__traceback__
    if isinstance(error, SyntaxError) and str(error.filename).startswith("<ipython-input"):
        line = error.lineno
    while tb is not None:
        if tb.tb_frame.f_code.co_filename.startswith("<ipython-input"):
            line = tb.tb_lineno
        tb = tb.tb_next
    return line


def told(error):
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return {"type": type(error).__name__, "message": message, "line": line_of(error)}


def step(code, stdin):
    fd = os.open(stdin, os.O_RDONLY)
    os.dup2(fd, 0)
    os.close(fd)
    sys.stdin = io.open(0, encoding="utf-8", closefd=False)
    values.clear()
    displays.clear()
    result = shell.run_cell(code, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    answer = {"exit": 0, "value": values[-1] if values else None, "displays": list(displays),
              "error": None}
    if isinstance(error, SystemExit):
        answer["exit"] = error.code or 0
    elif error is not None:
        answer.update(exit=130 if isinstance(error, KeyboardInterrupt) else 1, error=told(error))
    sys.stdout.flush()
    sys.stderr.flush()
    return answer


def main():
    heard = b""
    while piece := LINE.read(65536):
        heard += piece
        while b"\n" in heard:
            line, heard = heard.split(b"\n", 1)
            answer = json.dumps(step(**json.loads(line)), default=encoded)
            LINE.write(answer.encode() + b"\n")


main()
