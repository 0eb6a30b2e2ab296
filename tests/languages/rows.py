"""Languages of the tests' own, for --runtimes: their compiler is bash, which runs the code as a script; what that
leaves at /tmp/made is the program. So a test says what its compiler does."""
import json

STEP = {"find": ["/usr/bin/bash"], "args": ["main.step"], "timeout_ms": 10000}
STEPS = {"name": "steps", "title": "Steps", "file": "main.step", "version": ["--version"],
         "compile": dict(STEP, product="/tmp/made")}
# what runs the product is an interpreter
SCRIPTED = {"name": "scripted", "title": "Scripted", "file": "main.step", "version": ["--version"],
            "find": ["/usr/bin/bash"], "run": ["/tmp/made"], "compile": STEP}
HASTY = {"name": "hasty", "title": "Hasty", "file": "main.step", "version": ["--version"],
         "compile": dict(STEP, product="/tmp/made", timeout_ms=300)}
PLAIN = {"name": "plain", "title": "Plain", "file": "main.plain", "version": ["--version"],
         "find": ["/usr/bin/bash"]}


def made(program):
    """A compiler that makes this bash program."""
    return f"cat >/tmp/made <<'END'\n#!/usr/bin/bash\n{program}\nEND\nchmod +x /tmp/made\n"


def write(path, *rows):
    path.write_text(json.dumps({"runtimes": list(rows)}))
    path.chmod(0o644)
    return str(path)
