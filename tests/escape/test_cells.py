"""What one program leaves behind in a cell is not there for the next, nor in the zygote both were forked from; and a
program that runs warm finds what it would find cold."""
import glob
import json
import os
import re
import secrets
import signal

import pytest

import lab
import marks
from conftest import skip

PLANTINGS = 3   # programs that leave all marks, in each zygote


@pytest.fixture(scope="session")
def cells(warm_server):
    return warm_server


@pytest.fixture(scope="session")
def mark():
    return "mark" + secrets.token_hex(8)


# --- the processes behind it ---------------------------------------------------------------------


def family(server):
    """{host pid: fields of its status} of the server and of all that it has started."""
    found, todo = {}, [server.proc.pid]
    while todo:
        pid = todo.pop()
        try:
            found[pid] = lab.status_of(pid)
            for path in glob.glob(f"/proc/{pid}/task/*/children"):
                with open(path, encoding="ascii") as file:
                    todo += map(int, file.read().split())
        except OSError:
            found.pop(pid, None)
    return found


def depth(status):
    """In how many pid namespaces it is, the host's included."""
    return len(status["NSpid"].split())


def zygotes(server):
    return [pid for pid, status in family(server).items() if status["Name"] == "python3" and depth(status) == 2]


def of_kind(server, name):
    """Pids of guests, rooms or Python's cells: pid 1 of a sandbox, or of a room in it, or a zygote's child."""
    at, parents = {"guest": (2, "1"), "room": (3, "1"), "cell": (3, "2")}[name], zygotes(server)
    return [pid for pid, status in family(server).items() if (depth(status), status["NSpid"].split()[-1]) == at and
            (name != "cell" or int(status["PPid"]) in parents)]


def renew(server):
    """Another zygote; returns when runs are warm again."""
    old = set()
    for pid in zygotes(server):
        old |= {pid, int(lab.status_of(pid)["PPid"])}
        os.kill(pid, signal.SIGKILL)
    assert lab.eventually(lambda: not old & set(family(server)), 10)
    server.have_run_warm.clear()


def fresh(server):
    """From here on cells were forked after whatever has ended before."""
    for _ in range(12):
        server.python("pass")


# --- marks ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def where_left(cells, mark):
    """{name: (before, why not, after)}, all in one program."""
    return marks.read(cells.python(marks.both(mark, marks.NAMES), timeout_ms=60000))


@pytest.fixture(scope="session")
def found_later(cells, mark):
    """What was to be seen before, and by the programs that came after others had left all they could: through
    consecutive cells, those forked before it and after, of two zygotes."""
    clean, later = marks.read(cells.python(marks.look(mark))), []
    for _ in range(2):
        for _ in range(PLANTINGS):
            refused = marks.read(cells.python(marks.plant(mark), timeout_ms=60000))
            assert {name for name, why in refused.items() if why} <= {one.name for one in marks.MARKS if one.refused}
            later.append(marks.read(cells.python(marks.look(mark))))
        fresh(cells)
        later.append(marks.read(cells.python(marks.look(mark))))
        renew(cells)
    return clean, later


@pytest.mark.parametrize("name", marks.NAMES)
def test_mark_is_seen_by_the_program_that_has_left_it(where_left, name):
    before, refused, after = where_left[name]
    expected = [one.refused for one in marks.MARKS if one.name == name][0]
    assert before != after and not refused or expected and refused and before == after, (before, refused, after, expected)


@pytest.mark.parametrize("name", marks.NAMES + [name for name, _ in marks.ONLY_SEEN])
def test_mark_is_not_there_for_the_next(found_later, name):
    clean, later = found_later
    assert [one[name] for one in later] == [clean[name]] * len(later)


# --- warm as cold --------------------------------------------------------------------------------

# What is not the same on both paths, and why.
UIDS = "each cell is a user of its own, so that cells cannot reach each other by uid; a sandbox of its own has the one"
ACCEPTED = {
    "what is done at exit": "the driver's functions, which end the interpreter as it would have ended",
    "its map of users": UIDS,
    "gid_map": UIDS,
    "setgroups": UIDS,          # who maps several may not deny it first; without capabilities it is of no use
    "uids": UIDS,
    "owners": UIDS,
    "the mode of /etc": UIDS,   # and so the folders that lead to mounts are for all
    "how many bytes environ has": "those of the driver's own variables, which are zeros now",
    "what is mapped": "the modules imported ahead, and cell.so and the filter, both sealed memfds",
    "a limit of processes": UIDS,   # where it is a user's, it counts ours, and there are fewer in a room of its own
    "stat's flags": "PF_FORKNOEXEC: it was forked, and has not called exec since",
}

# Beside marks.MARKS: what could be different. Numbers that only count are left out.
MORE = [
    ("arguments of the process", "read('/proc/self/cmdline')"),
    ("how many bytes environ has", "len(read('/proc/self/environ'))"),
    ("environ", "read('/proc/self/environ').rstrip('\\0')"),
    ("status", "[line for line in read('/proc/self/status').splitlines() if not line.startswith(('Uid', 'Gid', 'Vm', "
               "'Rss', 'voluntary', 'nonvoluntary', 'Cpus_allowed'))]"),
    ("uids", "field('Uid'), field('Gid')"),
    ("gid_map", "read('/proc/self/gid_map')"),
    ("setgroups", "read('/proc/self/setgroups')"),
    ("stat", "[n for i, n in enumerate(read('/proc/self/stat').split()) if i in (0, 1, 2, 3, 4, 5, 6, 7, 17, 18, 19, 20, 37, 39, "
             "40, 43)]"),
    ("stat's flags", "read('/proc/self/stat').split()[8]"),
    ("limits", "[line for line in read('/proc/self/limits').splitlines() if 'processes' not in line]"),
    ("oom_score_adj", "read('/proc/self/oom_score_adj')"),
    ("descriptors", "{n: (tried(os.readlink, '/proc/self/fd/' + n).split(':')[0], read('/proc/self/fdinfo/' + n).split()[:4]) "
                    "for n in '012'}, len(os.listdir('/proc/self/fd'))"),
    ("programs", "os.readlink('/proc/self/exe'), os.readlink('/proc/self/cwd'), os.readlink('/proc/self/root')"),
    ("namespaces", "sorted(os.listdir('/proc/self/ns')), os.readlink('/proc/self/ns/pid') == "
                   "os.readlink('/proc/self/ns/pid_for_children')"),
    ("wchan", "read('/proc/self/wchan'), tried(read, '/proc/self/stack')"),
    ("mounts", "[re.sub('[ug]id=[0-9]+', '', line.partition(' / ')[2]) for line in read('/proc/self/mountinfo').splitlines()]"),
    ("folders", "[(at, oct(os.stat(at).st_mode), os.access(at, os.W_OK), tried(lambda: sorted(os.listdir(at)))) for at in "
                "('/', '/tmp', '/workspace', '/dev', '/dev/shm', '/run', '/run/empty', '/run/fumehood', '/var/tmp')]"),
    ("what is in /etc", "sorted(os.listdir('/etc'))"),
    ("the mode of /etc", "oct(os.stat('/etc').st_mode)"),
    ("owners", "[os.stat(at).st_uid for at in ('/workspace', '/workspace/main.py')]"),
    ("the program's file", "oct(os.stat('main.py').st_mode), os.path.getsize('main.py') > 0"),
    ("root of /proc", "sorted(os.listdir('/proc')), tried(os.listdir, '/proc/1/task')"),
    ("the first process", "{name: tried(read, '/proc/1/' + name) for name in ('comm', 'cmdline', 'environ', 'maps', 'mem', 'limits')}"),
    ("what is mapped", "sorted({line.split(None, 5)[5] for line in read('/proc/self/maps').splitlines() if len(line.split(None, 5)) > 5})"),
    ("shared mappings", "[line.split(None, 5)[1:] for line in read('/proc/self/maps').splitlines() if line.split()[1][3] == 's']"),
    ("writable code", "[line for line in read('/proc/self/maps').splitlines() if 'wx' in line.split()[1]]"),
    ("network", "read('/proc/net/dev').split()[-17], read('/proc/net/route'), read('/proc/net/if_inet6')"),
    ("kinds of rights", "[(n, prctl(n)) for n in (3, 7, 21, 23, 27, 30, 39)]"),
    ("lists of futexes", "(lambda a, b: (call(274, 0, ctypes.byref(a), ctypes.byref(b)), b.value))(ctypes.c_void_p(), ctypes.c_size_t())"),
    ("another stack for signals", "(lambda s: (call(131, 0, s), s.raw[8:12].hex()))(ctypes.create_string_buffer(24))"),
    ("trace of the interpreter", "sys.gettrace(), sys.getprofile(), threading.current_thread().name, threading.main_thread().ident == "
                                 "threading.get_ident(), threading.get_native_id()"),
    ("memory of the interpreter", "sorted(vars(sys.modules['__main__'])), [str(one).split(' at ')[0] for one in "
                                  "sys.path_hooks + sys.meta_path]"),
    ("modules that cannot be", "tried(__import__, 'sitecustomize'), tried(__import__, 'zygote')"),
]


@pytest.fixture(scope="session")
def both_paths(cells, mark):
    """What the same program finds cold, and warm."""
    rows = [(one.name, one.look) for one in marks.MARKS if one.name != "memory"] + marks.ONLY_SEEN + MORE
    code = marks.program(mark, f"answer({{name: sight(text) for name, text in {rows!r}}})\n")
    cold = lab.Server(cells.as_user, "--warm-cells", "0")
    try:
        for _ in range(3):
            result = cold.python(code)
            assert result["path"] == "cold"
        return marks.read(result), marks.read(cells.python(code))
    finally:
        cold.close()


def test_program_finds_in_a_cell_what_it_would_find_in_a_sandbox_of_its_own(both_paths):
    cold, warm = both_paths
    different = {name: (cold[name], warm[name]) for name in cold if cold[name] != warm[name]}
    assert {name: both for name, both in different.items() if name not in ACCEPTED} == {}
    stale = set(ACCEPTED) - set(different)
    assert not {name for name in stale if ACCEPTED[name] != UIDS}, "no longer a difference"
    assert not [name for name in warm if warm[name].startswith("?")], "could not be looked at"


def test_what_a_cell_has_mapped_beside_the_cold_path_is_libraries_and_our_two_memfds(both_paths):
    cold, warm = ({*json.loads(one["what is mapped"])} for one in both_paths)
    more = warm - cold
    ours = {"/memfd:cell (deleted)", "/memfd:filter (deleted)"}
    assert ours <= more
    assert not [path for path in more - ours if not re.search(r"^/usr/lib.*\.so[.0-9]*$", path)]


IN_JAVASCRIPT = r"""
const fs = require('fs'), said = {}
const read = name => { try { return fs.readFileSync('/proc/self/' + name, 'latin1') } catch (error) { return error.code } }
for (const name of ['cmdline', 'cgroup', 'oom_score_adj', 'coredump_filter', 'timerslack_ns', 'comm']) said[name] = read(name)
said.environ = read('environ').replace(/\0+$/, '')
said.status = read('status').split('\n').filter(line => /^(Umask|FDSize|Groups|NSpid|Threads|Sig|Shd|Cap|NoNew|Seccomp|THP)/.test(line))
said.limits = read('limits').split('\n').filter(line => !/processes/.test(line))
said.descriptors = fs.readdirSync('/proc/self/fd').map(n => {
  try { return n + fs.readlinkSync('/proc/self/fd/' + n).replace(/\d+/, '') + read('fdinfo/' + n).match(/flags:.*/) } catch { return n } })
said.shared = read('maps').split('\n').filter(line => / ...s /.test(line)).length
said.env = process.env
said.process = [process.argv, process.execArgv, process.cwd(), process.title, process.umask(), process.pid, process.ppid,
                process._getActiveHandles().length, process.eventNames().map(String), process.exitCode]
said.globals = Object.getOwnPropertyNames(globalThis).sort()
said.modules = [require.main.filename, Object.keys(require.cache), Object.keys(require.extensions), module.children.length]
said.frames = new Error().stack
said.folders = ['.', '/tmp', '/dev/shm', '/dev/pts'].map(at => fs.readdirSync(at))
said.processes = fs.readdirSync('/proc').filter(name => /^\d+$/.test(name))
console.log(JSON.stringify(said))
"""


def test_javascript_finds_in_a_cell_what_it_would_find_in_a_sandbox_of_its_own(cells, server):
    cold = server.run("run_code", language="javascript", code=IN_JAVASCRIPT)
    warm = cells.run("run_code", language="javascript", code=IN_JAVASCRIPT)
    assert (cold["path"], warm["path"]) == ("cold", "warm")
    assert json.loads(warm["stdout"]) == json.loads(cold["stdout"])


PLANT_IN_JAVASCRIPT = """
for (const at of ['/tmp', '/dev/shm', '/workspace']) { fs.mkdirSync(at + '/mark'); fs.writeFileSync(at + '/mark/mark', 'mark') }
globalThis.mark = 1; Array.prototype.mark = 1; process.env.MARK = 'mark'; process.title = 'mark'; process.umask(0o77)
require('events').EventEmitter.prototype.mark = 1; require('module')._extensions['.mark'] = 1; fs.readlinkSync = () => 'mark'
process.on('SIGTERM', () => 0); process.chdir('/tmp'); process.argv.push('mark'); process.exitCode = 0
require('child_process').spawn('/bin/sleep', ['60'], {detached: true, stdio: 'ignore'}).unref()
require('net').createServer().listen('\\0mark')
"""


def test_nothing_of_a_program_in_javascript_is_there_for_the_next(cells):
    """In the program itself all of it is: then it ends, its own server and child notwithstanding."""
    head, rest = IN_JAVASCRIPT.split("\n", 2)[1], IN_JAVASCRIPT
    clean = json.loads(cells.run("run_code", language="javascript", code=rest)["stdout"])
    for _ in range(3):
        left = cells.run("run_code", language="javascript", code=head + PLANT_IN_JAVASCRIPT + "{" + rest + "}process.exit(0)")
        own = json.loads(left["stdout"])
        assert {name for name in clean if clean[name] == own[name]} <= {
            "cgroup", "oom_score_adj", "coredump_filter", "timerslack_ns", "limits", "shared", "environ", "cmdline"}, own
        for _ in range(4):
            assert json.loads(cells.run("run_code", language="javascript", code=rest)["stdout"]) == clean


# --- the zygote, from outside --------------------------------------------------------------------

KEPT = ["environ", "cmdline", "cgroup", "limits", "oom_score_adj", "comm", "personality", "timerslack_ns", "coredump_filter",
        "uid_map", "gid_map", "setgroups", "timers", "autogroup", "mountinfo", "loginuid", "sessionid"]
FIELDS = re.compile("Name|Umask|State|Tgid|PPid|TracerPid|Uid|Gid|FDSize|Groups|NSpid|NSpgid|NSsid|Threads|Sig|Shd|Cap|"
                    "NoNewPrivs|Seccomp|Spec|THP|x86|Cpus|Mems")


def from_outside(pid):
    """All that the kernel tells of a process and that nothing should change."""
    found = {}
    for name in KEPT:
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                found[name] = file.read()
        except OSError as error:
            found[name] = error.errno
    found["status"] = {name: value for name, value in lab.status_of(pid).items() if FIELDS.match(name)}
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    found["stat"] = [fields[n] for n in (1, 2, 3, 4, 5, 6, 15, 16, 17, 37, 38)]
    found["descriptors"] = {n: os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
    found["links"] = [os.readlink(f"/proc/{pid}/{name}") for name in ("exe", "cwd", "root")]
    found["namespaces"] = {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in os.listdir(f"/proc/{pid}/ns")
                           if name != "pid_for_children"}
    found["scheduling"] = os.sched_getscheduler(pid), sorted(os.sched_getaffinity(pid)), os.getpriority(os.PRIO_PROCESS, pid)
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        found["mapped"] = [line.split()[:2] + line.split()[5:] for line in file]
    return found


def at_rest(pid):
    """The same of a zygote that makes no cell just now."""
    found = []

    def look():
        try:
            found.append(from_outside(pid))
        except FileNotFoundError:       # a descriptor
            return False
        return found[-1]["status"]["State"].startswith("S") and "pidfd" not in str(found[-1]["descriptors"])

    assert lab.eventually(look, 10), found
    return found[-1]


def times_in_memory(pid, text):
    count = 0
    with open(f"/proc/{pid}/maps", encoding="utf-8") as lines, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in lines:
            at, end = (int(n, 16) for n in line.split()[0].split("-"))
            if line.split()[1][0] == "r" and "[v" not in line:
                memory.seek(at)
                count += memory.read(end - at).count(text.encode())
    return count


def planted(server, mark):
    """The cell in which all marks are and that now sleeps."""
    try:
        return [pid for pid in of_kind(server, "cell") if times_in_memory(pid, mark) > 3 and
                lab.status_of(pid)["State"].startswith("S") and int(lab.status_of(pid)["Threads"]) > 1]
    except OSError:     # its memory changed meanwhile
        return []


@pytest.fixture
def root_looks(cells):
    if not lab.IS_ROOT:
        skip("only root may look into a zygote")
    return cells


def test_zygote_and_guest_are_as_they_were(root_looks, mark):
    cells = root_looks
    cells.python("pass")
    pids = zygotes(cells) + of_kind(cells, "guest")
    assert len(pids) >= 2
    before = {pid: at_rest(pid) for pid in zygotes(cells)}
    for _ in range(PLANTINGS):
        marks.read(cells.python(marks.plant(mark), timeout_ms=60000))
    for pid in pids:
        assert times_in_memory(pid, mark) == 0
    assert lab.eventually(lambda: {pid: at_rest(pid) for pid in before} == before, 10), \
        [(name, was, now) for pid, one in before.items() for (name, was), now in zip(one.items(), from_outside(pid).values())
         if was != now]


def test_what_is_looked_for_in_a_zygote_can_be_seen_in_a_cell(root_looks, mark):
    """The control of the test before."""
    cells = root_looks
    run = cells.start("run_code", {"language": "python", "timeout_ms": 60000, "code": marks.plant(
        mark, "may(prctl(4, 1)); time.sleep(60)\n")})
    assert lab.eventually(lambda: planted(cells, mark), 20)
    [pid] = [pid for pid in of_kind(cells, "cell") if lab.status_of(pid)["Name"] == mark[:8]]
    was, now = from_outside(zygotes(cells)[0]), from_outside(pid)
    assert mark[:4].encode() in now["environ"] and mark[:8].encode() in now["comm"]
    for name in ("limits", "timerslack_ns", "timers", "stat", "descriptors", "links", "scheduling", "mapped"):
        assert was[name] != now[name], name
    for name in ("SigBlk", "SigIgn", "SigCgt", "ShdPnd", "Umask", "FDSize", "Threads", "THP_enabled"):
        assert was["status"][name] != now["status"][name], name
    assert cells.cancel(run)


def test_zygote_and_guest_are_nobodys_to_look_into(root_looks):
    """Memory of who is not dumpable is the host's root's; of a program it is the program's own."""
    def whose(pid):
        return os.stat(f"/proc/{pid}/mem").st_uid, int(lab.status_of(pid)["Uid"].split()[0])

    def cells_are_their_own():
        try:
            found = [whose(pid) for pid in of_kind(root_looks, "cell")]
        except OSError:     # one has ended meanwhile
            return False
        return found and all(owner == uid for owner, uid in found)

    root_looks.python("pass")
    assert lab.eventually(cells_are_their_own, 10)
    ours = [whose(pid) for pid in zygotes(root_looks) + of_kind(root_looks, "guest")]
    assert len(ours) >= 2 and all(owner == 0 != uid for owner, uid in ours), ours


def test_no_process_of_ours_holds_a_descriptor_of_a_user_namespace(root_looks):
    """By which who has a capability in it could enter it, or make another one's child of it."""
    cells = root_looks
    cells.python("pass")
    ours = {kind: of_kind(cells, kind) for kind in ("guest", "room", "cell")} | {"zygote": zygotes(cells)}
    assert all(ours.values()), ours
    for kind, pids in ours.items():
        for pid in pids:
            held = [os.readlink(path) for path in glob.glob(f"/proc/{pid}/fd/*")]
            assert not [path for path in held if path.startswith("user:")], (kind, held)


def waiting(server):
    """Cells that are where they wait, all of them, or none."""
    try:
        found = [from_outside(pid) for pid in of_kind(server, "cell")]
    except OSError:     # one has ended meanwhile
        return []
    there = all(one["status"]["State"].startswith("S") and not int(one["status"]["CapPrm"], 16) and
                "4" in one["descriptors"] for one in found)
    return found if there else []


def test_cell_that_waits_is_confined_in_every_way(root_looks):
    cells = root_looks
    cells.python("pass")
    zygote, found = from_outside(zygotes(cells)[0]), []
    assert lab.eventually(lambda: found.extend(waiting(cells)) or found, 10)
    for one in found:
        assert not int(one["status"]["CapPrm"], 16) | int(one["status"]["CapBnd"], 16) | int(one["status"]["CapAmb"], 16)
        assert one["status"]["NoNewPrivs"] == "1" and one["oom_score_adj"] == b"1000\n"
        assert int(one["status"]["Seccomp_filters"]) > int(zygote["status"]["Seccomp_filters"])
        assert sorted(one["descriptors"]) == ["0", "1", "2", "4"], one["descriptors"]
        assert cells.as_user or one["cgroup"] != zygote["cgroup"]
        same = {name for name in one["namespaces"] if one["namespaces"][name] == zygote["namespaces"][name]}
        # as root they are different users of one
        assert same <= {"time", "time_for_children"} | (set() if cells.as_user else {"user"}), same


# --- numbers nobody should guess -----------------------------------------------------------------

NUMBERS = """
import json, multiprocessing, os, random, secrets, ssl, tempfile, uuid
print(json.dumps({
    "random": random.random(), "a generator": random.Random().random(), "bits": random.getrandbits(64),
    "secrets": secrets.token_hex(8), "urandom": os.urandom(8).hex(), "getrandom": os.getrandom(8).hex(),
    "uuid4": str(uuid.uuid4()), "uuid1": str(uuid.uuid1()), "node": uuid.getnode(), "openssl": ssl.RAND_bytes(8).hex(),
    "temporary": tempfile.mktemp(), "authkey": bytes(multiprocessing.current_process().authkey).hex(),
    "of the kernel": open("/proc/sys/kernel/random/uuid").read()}))
"""
# The same in all cells of one zygote, and another in the next.
ADDRESSES = """
import json
lines = open("/proc/self/maps").read().splitlines()
print(json.dumps({"hash": hash("text"), "stack": [l.split("-")[0] for l in lines if "[stack]" in l],
                  "libc": [l.split("-")[0] for l in lines if "/libc" in l][0], "heap": [l.split("-")[0] for l in lines if "[heap]" in l],
                  "random of the kernel": open("/proc/self/auxv", "rb").read().hex()}))
"""


def test_random_numbers_of_two_cells_have_nothing_in_common(cells):
    found = [json.loads(cells.python(NUMBERS)["stdout"]) for _ in range(6)]
    for name in found[0]:
        assert len({one[name] for one in found}) == len(found), name


def test_hash_seed_and_addresses_are_renewed_with_the_zygote(cells):
    seen = []
    for _ in range(3):
        seen.append(json.loads(cells.python(ADDRESSES)["stdout"]))
        assert json.loads(cells.python(ADDRESSES)["stdout"]) == seen[-1]  # of the same zygote
        renew(cells)
    for name in seen[0]:
        assert len({str(one[name]) for one in seen}) == len(seen), name


# --- what it has used ----------------------------------------------------------------------------


def test_next_program_is_not_charged_for_what_the_one_before_has_used(cells):
    quiet = cells.python("pass")
    if quiet["limits"] != "enforced":
        assert not {"peak_memory_bytes", "cpu_ms"} & set(quiet)     # nobody is charged
        return
    quiet = quiet["peak_memory_bytes"]
    for _ in range(4):
        hog = cells.python("x = bytearray(100 << 20)\nfor i in range(6000000): pass")
        assert hog["peak_memory_bytes"] > 100 << 20 and hog["cpu_ms"] > 50, hog
        after = cells.python("pass")
        assert after["peak_memory_bytes"] < quiet + (4 << 20) and after["cpu_ms"] < 50, after
