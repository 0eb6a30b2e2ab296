"""The attacks of probes/ again, in a session: in each interpreter that stays, and in a program beside them."""
import re

import pytest

import expected
import lab
from test_attacks import IDS


def in_all(inside_session, probe_id):
    return [(place, inside_session(place, probe_id)) for place in lab.PLACES]


def without_numbers(found):
    return found[0], re.sub(r"\d+", "N", found[1])


@pytest.mark.parametrize("probe_id", [i for i in IDS if i not in expected.STAYS_OPEN])
def test_attack_is_blocked_in_a_session(inside, inside_session, probe_id):
    """That it can succeed is shown in test_attacks; here, that a session refuses it in the same way."""
    says = expected.OPEN_IN_SESSION.get(probe_id, ("", ""))[0]
    once, seen = inside(probe_id), set()
    for place, found in in_all(inside_session, probe_id):
        seen.add(found[0])
        if not says or found[0] == "blocked":
            assert found[0] == "blocked" and without_numbers(found) == without_numbers(once), \
                f"{place} in a session: {found}, in a run of its own: {once}"
        else:
            assert found[0] == "open" and found[1].startswith(says), f"{place}: {found}"
    assert not says or "open" in seen, f"nowhere open any more: {expected.OPEN_IN_SESSION[probe_id]}"


@pytest.mark.parametrize("probe_id", sorted(expected.STAYS_OPEN))
def test_attack_stays_open_in_a_session_too(inside_session, probe_id):
    for place, found in in_all(inside_session, probe_id):
        assert found[0] == "open", f"{place}: now {found}: {expected.STAYS_OPEN[probe_id]}"


def test_every_expectation_of_sessions_names_an_attack():
    assert set(expected.OPEN_IN_SESSION) <= set(IDS) - set(expected.STAYS_OPEN)
