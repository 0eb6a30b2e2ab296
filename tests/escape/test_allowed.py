"""The other way round: what programs need is not in the way of the walls."""
import pytest

PROGRAMS = {
    "threads": "import threading\nt = [threading.Thread(target=sum, args=([1],)) for _ in range(20)]\n"
               "[x.start() for x in t]; [x.join() for x in t]",
    "subprocess": "import subprocess\nassert subprocess.check_output(['sh', '-c', 'echo a | tr a b']) == b'b\\n'",
    "process_pool": "import multiprocessing as m\nif __name__ == '__main__':\n"
                    "    assert m.Pool(3).map(abs, [-1, -2]) == [1, 2]",
    "loopback_tcp": "import socket\ns = socket.create_server(('127.0.0.1', 0))\n"
                    "c = socket.create_connection(s.getsockname()); a = s.accept()[0]\n"
                    "c.sendall(b'x'); assert a.recv(1) == b'x'",
    "loopback_tcp6": "import socket\ns = socket.create_server(('::1', 0), family=socket.AF_INET6)\n"
                     "socket.create_connection(s.getsockname()[:2])",
    "localhost_by_name": "import socket\ns = socket.create_server(('localhost', 0))\n"
                         "socket.create_connection(('localhost', s.getsockname()[1]))",
    "unix_sockets": "import socket\na, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'\n"
                    "s = socket.socket(socket.AF_UNIX); s.bind('/tmp/s'); s.listen()\n"
                    "socket.socket(socket.AF_UNIX).connect('/tmp/s')",
    "passing_descriptors": "import os, socket\na, b = socket.socketpair()\n"
                           "socket.send_fds(a, [b'x'], [0]); assert len(socket.recv_fds(b, 1, 1)[1]) == 1",
    "epoll_and_asyncio": "import asyncio\nasync def f(): await asyncio.sleep(0.01); return 7\n"
                         "assert asyncio.run(f()) == 7",
    "memory_mapping": "import mmap\nm = mmap.mmap(-1, 1 << 20); m[0] = 1; m.madvise(mmap.MADV_DONTNEED)",
    "shared_memory": "from multiprocessing import shared_memory as s\nx = s.SharedMemory(create=True, size=100); x.unlink()",
    "semaphores": "import multiprocessing as m\nl = m.Lock()\nwith l: pass",
    "anonymous_files": "import os\nassert os.write(os.memfd_create('a'), b'x') == 1",
    "file_operations": "import os, shutil\nopen('a', 'w').write('x'); os.link('a', 'b'); os.symlink('a', 'c')\n"
                       "os.rename('b', 'd'); os.chmod('d', 0o600); os.utime('d', (1, 1)); os.truncate('d', 9)\n"
                       "shutil.copytree('.', '/tmp/t'); shutil.rmtree('/tmp/t')",
    "sendfile_and_copy": "import os\nopen('a', 'wb').write(b'x' * 9999)\ni = os.open('a', 0); o = os.open('b', 66)\n"
                         "assert os.copy_file_range(i, o, 5000) and os.sendfile(o, i, 0, 100)",
    "locks": "import fcntl\nf = open('a', 'w'); fcntl.flock(f, 2); fcntl.lockf(f, 2)",
    "signals_and_timers": "import signal, time\nhits = []\nsignal.signal(14, lambda *a: hits.append(1))\n"
                          "signal.setitimer(0, 0.01); signal.sigtimedwait([10], 0.2); assert hits",
    "terminal_of_its_own": "import os, pty\nm, s = pty.openpty(); os.write(s, b'x'); assert os.read(m, 1) == b'x'",
    "temporary_files": "import tempfile\nwith tempfile.TemporaryDirectory() as d: open(d + '/a', 'w').close()\n"
                       "tempfile.NamedTemporaryFile().write(b'x')",
    "random_and_time": "import os, time, uuid\nos.urandom(9); uuid.uuid4(); time.time(); time.monotonic()",
    "users_and_host": "import os, pwd, socket\nassert pwd.getpwuid(os.getuid()).pw_name; socket.gethostname()",
    "cpu_and_affinity": "import os\nassert os.cpu_count() and os.sched_getaffinity(0); os.nice(1)",
    "its_streams_by_name": "import os\nfor n in 'stdout', 'stderr', 'fd/1':\n"
                           "    os.open('/dev/' + n, os.O_WRONLY)\nos.open('/dev/stdin', os.O_RDONLY)",
    "own_proc": "import os\nassert os.listdir('/proc/self/fd') and open('/proc/self/status').read()",
    "database": "import sqlite3\nc = sqlite3.connect('d'); c.execute('pragma journal_mode=wal')\n"
                "c.execute('create table t(a)'); c.commit()",
    "compiled_code": "import ctypes\nassert ctypes.CDLL(None).getpid() > 0",
    "limits": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
    "inotify_and_eventfd": "import ctypes, os\nassert ctypes.CDLL(None).inotify_init1(0) > 0; os.eventfd(1)",
}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_ordinary_program_uses(server, name):
    result = server.python(PROGRAMS[name])
    assert (result["status"], result.get("exit_code"), result["stderr"]) == ("exited", 0, ""), result
