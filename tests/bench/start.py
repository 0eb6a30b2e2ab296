"""start.py: from nothing to a first answer: of a server, and of a session in one that runs."""
import random
import tempfile
import time

import report
import servers
import sessions

FRESH, KNOWN = "initialize answered, new state folder", "initialize answered, existing state folder"
FIRST = "first run_code answered, new state folder"
SESSION = "session_create to its first result, {}"


def measure(b, languages):
    """From before the fork to the reply to `initialize`, sent at once; and to the first result."""
    known = tempfile.mkdtemp(dir=b.dir)
    rows = {FRESH: [], KNOWN: [], FIRST: []}
    kept = b.server()
    names = {lang: SESSION.format(lang) for lang in sessions.TITLES if lang in languages}
    rows.update((name, []) for name in names.values())
    end, rounds = time.monotonic() + b.seconds("start"), 0
    while rounds < 5 or b.more(rounds, end):
        for what in random.sample([FRESH, KNOWN, *names], 2 + len(names)):
            if what in names:
                rows[names[what]].append(first_of_session(b, kept, what))
                continue
            server = b.keep(servers.Server(b.command(known if what == KNOWN else None)))
            rows[what].append(server.initialize())
            server.call("python", b.next())
            if what == FRESH:
                rows[FIRST].append((time.perf_counter() - server.began) * 1e3)
            b.close(server)
        rounds += 1
    b.close(kept)
    return [{"name": name, **report.summary(ms)} for name, ms in rows.items()]


def first_of_session(b, server, language):
    began = time.perf_counter()
    session = sessions.Session(server, language)
    session.call(b.next())
    took = (time.perf_counter() - began) * 1e3
    sessions.tool(server, "session_close", session_id=session.id)
    return took
