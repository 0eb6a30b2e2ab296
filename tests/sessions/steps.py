"""What a step is, and how it is done in a session and outside of one.

A step is code, and what comes with it:
    stdin=TEXT          given with the call
    background=[TEXT]   run in the background with its stdin left open; the pieces come one by one
    cancel=TEXT         run in the background, and run_cancel when that has been printed
    timeout=TEXT        the same with a timeout_ms: outside it is an interrupt after that text
    upload={PATH: BYTES}, download=[PATH]   before and after it, by the artifact tools
    outside=CODE        what stands for it outside, where only a session can live through it
    alike=[WORD]        what is compared: stdout, stderr, value, displays, error, exit
"""
import collections
import hashlib
import json
import re

from callers import paged

ALIKE = ("stdout", "stderr", "value", "displays", "error", "exit")
SHOWN_BYTES = 32768         # of a stream in one answer
TIMEOUT_MS = 2500


class Step:
    def __init__(self, code, stdin=None, background=None, cancel=None, timeout=None, upload=None,
                 download=(), outside=None, alike=ALIKE):
        self.code, self.stdin, self.background = code, stdin, background
        self.cancel, self.timeout = cancel, timeout
        self.upload, self.download = upload or {}, download
        self.outside_code = code if outside is None else outside
        self.alike = alike


Seen = collections.namedtuple("Seen", "exit stdout stderr value displays error files")


# --- in a session ---------------------------------------------------------------------------------

def read_item(caller, item):
    """The bytes or the text of one form of an output."""
    (content,) = caller.request("resources/read", {"uri": item["uri"]})["contents"]
    if "blob" in content:
        return content["blob"]
    if item["mime_type"] == "application/json":
        return json.loads(content["text"])
    return content["text"]


def forms(caller, output):
    """{MIME: text, or base64 of bytes}, as a notebook has it."""
    found = {item["mime_type"]: read_item(caller, item) for item in output.get("items", [])}
    found.setdefault("text/plain", output.get("text", ""))
    return found


def answer_of(session, step):
    """The structuredContent of a step in a session, however it is run."""
    caller, more = session.caller, {}
    if step.stdin is not None:
        more["stdin"] = step.stdin
    if step.timeout is not None:
        answer = session.run(step.code, timeout_ms=TIMEOUT_MS, **more)
        assert answer["status"] == "timeout" and "variables_lost" not in answer, answer
        assert step.timeout in answer["stdout"], "it did not come so far"
        return answer
    if step.cancel is None and step.background is None:
        return session.run(step.code, **more)
    run_id = session.begin(step.code, open_stdin=step.background is not None, **more)
    if step.cancel is not None:
        session.until(run_id, step.cancel)
        answer = caller.call("run_cancel", {"run_id": run_id})
        assert answer["status"] == "cancelled" and "variables_lost" not in answer, answer
    for i, piece in enumerate(step.background or ()):
        caller.call("run_input", {"run_id": run_id, "stdin": piece,
                                  "eof": i + 1 == len(step.background)})
    session.end_of(run_id)
    return caller.call("run_status", {"run_id": run_id})


def in_session(session, step):
    for path, data in step.upload.items():
        up = session.upload(path, data)
        assert (up["size"], up["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    answer = answer_of(session, step)
    texts = {}
    for stream in ("stdout", "stderr"):
        texts[stream] = answer[stream]
        if answer[f"{stream}_bytes"] > len(answer[stream].encode()) or answer[f"{stream}_truncated"]:
            texts[stream] = paged(session.caller, answer["run_id"], stream)
        assert answer[f"{stream}_bytes"] == len(texts[stream].encode())
    value, displays, error = None, [], None
    for output in answer.get("outputs", []):
        if output["type"] == "error":
            error = {name: output["error"].get(name) for name in ("type", "message", "line")}
        elif output["type"] == "result":
            value = forms(session.caller, output)
        else:
            displays.append(forms(session.caller, output))
    files = {}
    for path in step.download:
        files[path], first = session.download(path)
        assert first["sha256"] == hashlib.sha256(files[path]).hexdigest()
    code = 130 if answer["status"] in ("timeout", "cancelled") else answer.get("exit_code")
    return Seen(code, texts["stdout"], texts["stderr"], value, displays, error, files)


# --- outside --------------------------------------------------------------------------------------

def outside(interpreter, step):
    for path, data in step.upload.items():
        with open(interpreter.path(path), "wb") as file:
            file.write(data)
    done = interpreter.step(step.outside_code, interrupt=step.cancel or step.timeout,
                            stdin=(step.stdin or "") + "".join(step.background or ()))
    files = {}
    for path in step.download:
        with open(interpreter.path(path), "rb") as file:
            files[path] = file.read()
    return Seen(*done, files)


# --- and what is compared -------------------------------------------------------------------------

def trimmed(forms_):
    """The base64 of IPython has newlines in it."""
    return {mime: text.rstrip("\n") if mime.startswith("image/") and "svg" not in mime else text
            for mime, text in forms_.items()}


def comparable(seen, step, normal):
    """Only what is to be alike; normal: makes names of the two places the same in a text."""
    found = {"files": seen.files}
    for word in step.alike:
        what = getattr(seen, word)
        if word in ("stdout", "stderr"):
            what = normal(what)
        elif word == "value" and what is not None:
            what = trimmed(what)
        elif word == "displays":
            what = [trimmed(each) for each in what]
        found[word] = what
    # of an error, stderr is each interpreter's own way to tell it: it is in `error`
    if seen.error is not None or seen.exit == 130:
        found.pop("stderr", None)
    return found


def no_names(text):
    return text


def bash_names(text):
    """bash: line 3: nope: ... and /run/fumehood/7.code: line 3: nope: ... are the same complaint."""
    text = re.sub(r"^bash: (?=\S+: line \d)", "", text, flags=re.M)
    return re.sub(r"^(/\S+\.code|bash): (line \d+: )?", "", text, flags=re.M)


def python_names(text):
    return re.sub(r"^(<ipython-input-[^>]*>|<call \d+>|/\S+/ipykernel_\S+):", "<code>:", text,
                  flags=re.M)
