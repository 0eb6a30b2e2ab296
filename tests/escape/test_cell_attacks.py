"""The attacks of probes/ again, in cells: a program that an interpreter which was there before it has started."""
import pytest

import expected
import lab
from test_attacks import IDS
from test_session_attacks import without_numbers


@pytest.fixture(scope="session")
def inside_cell(warm_server, listeners):
    """What the attacks found there, one run per group."""
    found = {}

    def look(language, probe_id):
        group = probe_id.split("-")[0] + "-"
        if (language, group) not in found:
            found[language, group] = lab.run_probes_in_cell(warm_server, language, [group], listeners)
        return found[language, group].get(probe_id, ("unknown", "no report"))

    return look


@pytest.mark.parametrize("probe_id", [i for i in IDS if i not in expected.STAYS_OPEN])
@pytest.mark.parametrize("language", sorted(lab.IN_CELLS))
def test_attack_is_blocked_in_a_cell(inside, inside_cell, language, probe_id):
    """That it can succeed is shown in test_attacks; here, that a cell refuses it in the same way."""
    once, found = inside(probe_id), inside_cell(language, probe_id)
    if probe_id in expected.OPEN_IN_CELL:
        assert found == ("open", expected.OPEN_IN_CELL[probe_id][0])
        return
    assert found[0] == "blocked" and without_numbers(found) == without_numbers(once), \
        f"in a cell: {found}, in a sandbox of its own: {once}"


def test_every_expectation_of_cells_names_an_attack():
    assert set(expected.OPEN_IN_CELL) <= set(IDS) - set(expected.STAYS_OPEN)


@pytest.mark.parametrize("probe_id", sorted(expected.STAYS_OPEN))
@pytest.mark.parametrize("language", sorted(lab.IN_CELLS))
def test_attack_stays_open_in_a_cell_too(inside_cell, language, probe_id):
    found = inside_cell(language, probe_id)
    assert found[0] == "open", f"now {found}: {expected.STAYS_OPEN[probe_id]}"
