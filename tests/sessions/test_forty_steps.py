"""Forty steps of work in each language that remembers: a session gives what the same steps give outside.

Every step is done in a session, by a client over stdio and one over HTTP, and in IPython, node's REPL or bash
outside of any sandbox. Numbers and texts are compared: what was printed, the value, what was displayed,
the type, message and line of an error, the exit code, the bytes of files.
"""
import pytest
import steps
import steps_bash
import steps_javascript
import steps_python
from callers import Session
from outside import Outside

ALL = {
    "python": (steps_python.STEPS, steps.python_names),
    "javascript": (steps_javascript.STEPS, steps.no_names),
    "bash": (steps_bash.STEPS, steps.bash_names),
}


@pytest.mark.parametrize("language", ALL)
def test_a_session_gives_what_the_same_steps_give_outside(caller, language):
    todo, normal = ALL[language]
    assert len(todo) >= 40
    session = Session(caller, language)
    differences = []
    with Outside(language) as interpreter:
        for number, step in enumerate(todo, 1):
            ours = steps.comparable(steps.in_session(session, step), step, normal)
            theirs = steps.comparable(steps.outside(interpreter, step), step, normal)
            differences += [f"step {number} {word}:\n  ours    {str(ours.get(word))[:600]!r}\n"
                            f"  outside {str(theirs.get(word))[:600]!r}\n{step.code[:300]}"
                            for word in {**ours, **theirs} if ours.get(word) != theirs.get(word)]
    assert not differences, "\n".join(differences)
    assert session.close()["calls"] >= len(todo)


@pytest.mark.parametrize("language, one, other", [
    ("python", "x = 2", "x = 3"), ("javascript", "x = 2", "x = 3"), ("bash", "x=2", "x=3")])
def test_the_comparison_sees_a_difference(caller, language, one, other):
    normal, session = ALL[language][1], Session(caller, language)
    look = {"python": "print(x)", "javascript": "console.log(x)", "bash": "echo $x"}[language]
    with Outside(language) as interpreter:
        steps.in_session(session, steps.Step(one))
        steps.outside(interpreter, steps.Step(other))
        step = steps.Step(look)
        ours = steps.comparable(steps.in_session(session, step), step, normal)
        theirs = steps.comparable(steps.outside(interpreter, step), step, normal)
    assert (ours["stdout"], theirs["stdout"]) == ("2\n", "3\n")
