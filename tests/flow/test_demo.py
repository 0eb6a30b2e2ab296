"""The demo is the first thing anybody runs: it must show what the README says."""
import os
import subprocess
import sys

from mcp import BINARY, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "escape"))


def test_the_demo_shows_every_ending_as_it_should_be():
    shown = subprocess.run(["bash", os.path.join(ROOT, "examples", "demo.sh")], text=True,
                           capture_output=True, timeout=120, check=False,
                           env={**os.environ, "FUMEHOOD": BINARY})
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.count("-> as it should be") == 8
    assert "6 * 7 = 42" in shown.stdout and "intact" in shown.stdout


def test_the_demo_fails_when_the_sandbox_does_not_answer():
    shown = subprocess.run(["bash", os.path.join(ROOT, "examples", "demo.sh")], text=True,
                           capture_output=True, timeout=120, check=False,
                           env={**os.environ, "FUMEHOOD": "/bin/false"})
    assert shown.returncode != 0


def test_the_readme_lists_all_that_stays_open():
    from expected import STAYS_OPEN
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        text = f.read()
    for name, why in STAYS_OPEN.items():
        assert f"| {name} | {why} |" in text, f"{name} is not in the README's threat model"
