"""The demo is the first thing anybody runs: it must show what the README says."""
import os
import re
import subprocess
import sys

from mcp import BINARY, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "escape"))


def test_the_demo_shows_every_ending_as_it_should_be():
    shown = subprocess.run(["bash", os.path.join(ROOT, "examples", "demo.sh")], text=True,
                           capture_output=True, timeout=120, check=False,
                           env={**os.environ, "FUMEHOOD": BINARY})
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.count("-> as it should be") == 9
    assert "'KEPT'" in shown.stdout
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


def readme():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        return f.read()


def test_the_readme_names_every_target_of_make_and_no_other():
    said = subprocess.run(["make", "-s", "-C", ROOT, "help"], capture_output=True, text=True, check=True,
                          env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")}).stdout
    there = set(re.findall(r"^  ([a-z0-9-]+) ", said, re.M))
    listed = re.search(r"`make help` lists all targets\..*?\n\n", readme(), re.S)[0]
    named = set(re.findall(r"`([a-z0-9-]+)`", listed))
    assert there - {"help"} == named


def test_the_readme_names_every_room_and_role():
    rooms = re.search(r"Rooms, and which way.*?\n\n(.*?)\n\n", readme(), re.S)[1]
    for top in ("mcp", "sandbox"):
        for name in os.listdir(os.path.join(ROOT, top)):
            if os.path.isdir(os.path.join(ROOT, top, name)):
                assert re.search(rf"\b{name}/", rooms), f"{top}/{name} is not in the README"
    with open(os.path.join(ROOT, "sandbox", "launch", "role.c"), encoding="utf-8") as f:
        roles = set(re.findall(r'\.name = "(\w+)"', f.read()))
    assert len(roles) == 5 and roles <= set(re.findall(r"^\| (\w+) \|", readme(), re.M))


def test_a_line_of_the_readme_fits_a_screen():
    for line in readme().splitlines():
        assert len(line) <= 120 or line.startswith("|"), line


def test_what_the_readme_says_of_the_options_is_so():
    flags = set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", readme())) - {"json"}
    said = subprocess.run([BINARY, "help"], capture_output=True, text=True, check=True).stdout
    ours = set(re.findall(r"^  --([a-z-]+)", said, re.M))
    of_others = {"transport", "header", "name"}     # claude mcp add, systemd-creds
    assert len(flags) > 8 and flags <= ours | of_others, flags - ours
