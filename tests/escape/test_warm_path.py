"""The tests of programs in Python again, in cells. Which are told as warm or fail."""
import secrets

import pytest

import lab
import test_endings as endings
import test_resources as resources
from test_allowed import test_ordinary_program_uses  # noqa: F401
from test_endings import (  # noqa: F401
    mark, test_daemon_does_not_outlive_a_program_that_ended, test_daemon_does_not_outlive_the_deadline,
    test_forbidden_call_that_kills_is_told_as_denied, test_verdict_is_the_kernels_when_a_program)
from test_neighbours import test_network_of_one_run_is_not_the_neighbours  # noqa: F401
from test_output import (  # noqa: F401
    test_fake_frames_on_stdout_are_only_text, test_hostile_text_stays_verbatim_inside_one_json_string,
    test_invalid_utf8_is_replaced_and_counted)
from test_resources import (  # noqa: F401
    test_bytes_written_one_by_one_all_arrive, test_crash_leaves_no_core, test_descriptors_run_out,
    test_few_processes_are_not_stopped, test_file_larger_than_the_workspace_cannot_be_made,
    test_filled_folder_says_disk_full, test_fork_bomb_ends_and_nothing_is_left, test_full_pipes_are_bounded,
    test_half_filled_folder_is_no_problem, test_inodes_are_bounded_by_memory, test_interleaved_streams_are_counted_apart,
    test_memory_bomb_is_stopped_at_its_limit, test_memory_by_another_name_counts, test_moderate_memory_is_not_stopped,
    test_one_cpu_is_all_it_gets, test_output_flood_is_cut_counted_and_memory_stays_flat,
    test_output_without_newline_keeps_head_and_tail, test_sockets_run_out, test_time_of_children_is_counted,
    test_unreaped_children_count_as_processes)


@pytest.fixture(scope="session")
def server(warm_server):
    return warm_server


# What takes as long as its deadline, at the same time.

def test_deadline_holds_against_programs_that_will_not_end(server):
    runs = {name: (server.start("run_code", {"language": "python", "code": code, "timeout_ms": 2000, "env": {"MARK": at}}), at)
            for name, code in endings.RUN_ON.items() for at in ["escape-" + secrets.token_hex(8)]}
    for name, (run, at) in runs.items():
        result = server.finish(run)
        assert result["status"] == "timeout" and "time" in result["limits_hit"], (name, result)
        assert endings.nothing_left(at), name


STORMS = [one for mark in resources.test_neighbour_still_runs_beside_a_storm.pytestmark if mark.name == "parametrize"
          for one in mark.args[1]]


def test_neighbour_still_runs_beside_all_storms(server):
    assert len(STORMS) >= 6
    at = "escape-" + secrets.token_hex(8)
    runs = [server.start("run_code", {"language": "python", "code": code, "timeout_ms": 2500, "env": {"MARK": at}})
            for code in STORMS]
    assert lab.eventually(lambda: len(lab.marked(at)) >= len(STORMS), 10)
    assert server.python("print('beside')", timeout_ms=8000)["stdout"] == "beside\n"
    for run in runs:
        assert server.finish(run)["status"] in ("timeout", "out_of_memory", "disk_full")
    assert endings.nothing_left(at)


def test_hundreds_of_orphans_are_reaped(server):
    result = server.python(resources.ORPHANS % 200, timeout_ms=60000)
    assert (result["status"], result["stdout"]) == ("exited", "200\n"), result
    assert lab.eventually(lambda: not lab.children_of(server.proc.pid)), "defunct processes"
