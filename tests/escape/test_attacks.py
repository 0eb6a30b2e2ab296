"""Every attack of probes/: blocked inside, open outside. See expected.py for the exceptions."""
import pytest

import expected
import lab
from conftest import skip

IDS = lab.probe_ids()


def succeeds_outside(controls, probe_id):
    """None when the attack is open in one of the controls, or has none for a checked reason; else
    what the controls said."""
    said = {}
    for name in controls.NAMES:
        outcome = controls.outcome(name, probe_id)
        if outcome:
            said[name] = outcome
        if outcome and outcome[0] == "open":
            return None
    why, answers = expected.NO_CONTROL.get(probe_id, ("", set()))
    if answers and said and all(v == "blocked" and d in answers | own_walls(name)
                                for name, (v, d) in said.items()):
        expected.without_control[probe_id] = why
        return None
    return said


def own_walls(control):
    """Answers that come from a control's own walls: bubblewrap shows little of the host."""
    return {"ENOENT", "empty"} if control == "bwrap" else set()


@pytest.mark.parametrize("probe_id", [i for i in IDS if i not in expected.STAYS_OPEN])
def test_attack_is_blocked_inside_and_open_outside(inside, controls, probe_id):
    verdict, detail = inside(probe_id)
    assert verdict == "blocked", f"inside the sandbox: {verdict} {detail}"
    said = succeeds_outside(controls, probe_id)
    if said is not None and probe_id in expected.ROOT_MAY and not lab.IS_ROOT:
        skip(f"only root can show that {probe_id} succeeds outside: {said}")
    assert said is None, f"cannot fail on this host, outside it is no different: {said}"


@pytest.mark.parametrize("probe_id", sorted(expected.STAYS_OPEN))
def test_attack_stays_open_for_a_stated_reason(inside, probe_id):
    verdict, detail = inside(probe_id)
    assert verdict == "open", f"now {verdict} ({detail}): {expected.STAYS_OPEN[probe_id]}"


@pytest.mark.parametrize("probe_id", sorted(expected.EXACTLY))
def test_attack_is_refused_in_the_way_programs_expect(inside, probe_id):
    detail, why = expected.EXACTLY[probe_id]
    assert inside(probe_id) == ("blocked", detail), why


def test_every_expectation_names_an_attack():
    for table in (expected.STAYS_OPEN, expected.ROOT_MAY, expected.NO_CONTROL, expected.EXACTLY):
        assert set(table) <= set(IDS), set(table) - set(IDS)
