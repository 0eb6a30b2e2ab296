"""Forty steps in Python; each builds on those before it."""
from steps import Step

PNG_MAKER = r'''
import struct, zlib
def png(width, height, color):
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))
    rows = b"".join(b"\0" + bytes(color) * width for _ in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))
class Picture:
    def __init__(self, *how):
        self.how = how
    def _repr_png_(self):
        return png(*self.how)
    def __repr__(self):
        return f"Picture{self.how}"
'''

CSV = "name,born,height\n" + "".join(
    f"p{i},{1900 + i * 7 % 120},{150 + (i * 31 % 500) / 10}\n" for i in range(2000))

STEPS = [
    Step("import math, os, sys, json, asyncio, itertools\nrows = [3, 1, 2]\nx = 41"),
    Step("x + 1"),
    Step("print(sorted(rows), end='|')\nprint('two', 2.5, None, sep=', ')\nrows"),
    Step("def area(r, *, scale=1):\n    'Of a circle.'\n    return scale * math.pi * r ** 2\narea(2)"),
    Step("[round(area(r), 6) for r in range(5)], area.__doc__, __name__"),
    Step("from dataclasses import dataclass, field\n@dataclass(order=True)\nclass Point:\n    x: float\n"
         "    y: float = 0.5\n    tags: list = field(default_factory=list)\n"
         "p = Point(1, tags=['é'])\np"),
    Step("rows.append(4)\nrows[0] / 0\nrows.append(5)"),
    Step("rows, p < Point(2), hasattr(sys, 'ps1') or True"),
    Step("y = 1\nif y:\n    z = = 2"),
    Step("def outer(n):\n    return inner(n)\n\ndef inner(n):\n    return {}['missing' * n]"),
    Step("a = 1\nouter(1)"),                        # the line is that of the earlier step
    Step("'αβγ 🙂 שלום ' + 'e\\u0301' + chr(0x10FFFF), len('🙂'), 'ß'.upper()"),
    Step("print('日本語', '🙂' * 3, 'العربية', '\\x00\\x7f', repr('\\ud800'))"),
    Step("name = input('name? ')\nage = int(input())\nrest = sys.stdin.read()\nname, age, rest",
         stdin="Åsa\n37\nmore\nlines"),
    Step("async def slow(n):\n    await asyncio.sleep(0.01 * n)\n    return n * n\n"
         "await asyncio.gather(*(slow(n) for n in (3, 1, 2)))"),
    Step("task = asyncio.create_task(slow(4))\nawait asyncio.sleep(0)\ntask.done()"),
    Step("async def agen():\n    for i in range(3):\n        yield i\n"
         "await task, [i async for i in agen()]"),
    Step("squares = (i * i for i in itertools.count())\n[next(squares) for _ in range(4)]"),
    Step("next(squares), next(squares), _"),
    Step("os.mkdir('out')\nwith open('out/ünïcode.bin', 'wb') as f:\n    f.write(bytes(range(256)) * 64)\n"
         "json.dump({'k': [1, 2.5, None, 'é']}, open('out/data.json', 'w'))",
         download=["out/ünïcode.bin", "out/data.json"]),
    Step("import csv, statistics\nwith open('people.csv', newline='') as f:\n"
         "    people = list(csv.DictReader(f))\nheights = [float(p['height']) for p in people]\n"
         "(len(people), statistics.mean(heights), statistics.stdev(heights), statistics.median(heights),\n"
         " statistics.quantiles(heights, n=4), max(people, key=lambda p: float(p['height'])))",
         upload={"people.csv": CSV.encode()}),
    Step("state = 12345\nfor i in range(100000):\n    state = (state * 1103515245 + 12345) % 2**31\n"
         "    print(i, state, hex(state))\nstate"),                                 # 2.9 MiB
    Step("import warnings\nwarnings.warn('careful')\nprint('to err', file=sys.stderr)",
         alike=("stdout", "value", "exit")),        # where a warning comes from is told differently
    Step(PNG_MAKER + "display(Picture(3, 2, (255, 0, 0)))\nPicture(4, 4, (0, 128, 255))"),
    Step("class Rich:\n    def _repr_html_(self):\n        return '<b>ü &amp; 1</b>'\n"
         "    def _repr_markdown_(self):\n        return '**b**'\n"
         "    def _repr_svg_(self):\n        return '<svg xmlns=\"http://www.w3.org/2000/svg\"/>'\n"
         "    def _repr_latex_(self):\n        return '$x$'\n"
         "    def __repr__(self):\n        return 'Rich()'\ndisplay(Rich(), 7, 'text')\nRich()"),
    Step("class Bundle:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n"
         "        return {'text/plain': 'a bundle', 'text/html': '<i>b</i>',\n"
         "                'application/json': {'n': [1, None, 'é']}}\nBundle()"),
    Step("done = []\ntry:\n    print('turning', flush=True)\n    while True:\n        done.append(1)\n"
         "        del done[5:]\nfinally:\n    done.append('finally')", cancel="turning"),
    Step("done[-1], len(rows), p"),
    Step("import time\nprint('asleep', flush=True)\ntime.sleep(60)\nprint('never')", timeout="asleep"),
    Step("async def endless():\n    print('waiting', flush=True)\n    await asyncio.sleep(60)\n"
         "await endless()", cancel="waiting",
         alike=("stdout", "exit")),     # IPython leaves the task to its fate, and has no line
    Step("done[-1], x, await slow(2)"),
    Step("total = 0\nfor line in sys.stdin:\n    total += int(line)\n    print('so far', total)\ntotal",
         background=["1\n2\n", "3\n", "4\n5\n"]),
    Step("from functools import lru_cache, partial, reduce\n@lru_cache(maxsize=None)\ndef fib(n):\n"
         "    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
         "def counter():\n    n = 0\n    def count():\n        nonlocal n\n        n += 1\n        return n\n"
         "    return count\ncount = counter()\nfib(300), fib.cache_info(), count(), count()"),
    Step("import pickle, inspect\n(pickle.loads(pickle.dumps(p)) == p, inspect.getsource(outer),\n"
         " inspect.getsource(fib.__wrapped__), count())"),
    Step("try:\n    int('x')\nexcept ValueError as e:\n    raise LookupError('gefunden: ü') from e"),
    Step("class Odd(Exception):\n    def __str__(self):\n        return ''\nraise Odd(1, 2)"),
    Step("print('before')\nsys.exit(3)\nprint('never')"),
    Step("import threading, subprocess\nfound = {}\n"
         "threads = [threading.Thread(target=lambda n=n: found.__setitem__(n, sum(range(n * 1000))))\n"
         "           for n in range(8)]\nfor t in threads: t.start()\nfor t in threads: t.join()\n"
         "print('first')\nsubprocess.run(['sh', '-c', 'echo second; echo third >&2; exit 4']).returncode, "
         "sorted(found.items())"),
    Step("from decimal import Decimal, getcontext\nfrom fractions import Fraction\ngetcontext().prec = 50\n"
         "(2 ** 200, Decimal(2).sqrt(), Fraction(1, 3) + Fraction(1, 6), 0.1 + 0.2, 1e-320, complex(1, -2),\n"
         " float('nan'), -0.0, 10 ** 22 / 3, {'b': 1, 'a': (1,)}, b'\\xff', range(3), slice(1, None), ...)"),
    Step("match {'kind': 'circle', 'r': 2}:\n    case {'kind': 'circle', 'r': r} if (big := r > 1):\n"
         "        answer = f'{r=} {big!s:>6} {area(r):.3f}'\nanswer"),
    Step("os.makedirs('deep/er', exist_ok=True)\nos.chdir('deep')\nos.environ['STAYS'] = 'yes'\n"
         "'quiet';"),
    Step("os.path.basename(os.getcwd()), sorted(os.listdir()), os.environ['STAYS'],\\\n"
         "    subprocess.run('echo $STAYS; basename $PWD', shell=True, capture_output=True,\n"
         "                   text=True).stdout"),
    Step("def deeper(n):\n    return deeper(n + 1)\ndeeper(0)"),
    Step("del x\nx"),
    Step("exec('made = 5')\neval('made + len(rows)'), 'made' in globals(), __import__('datetime').date(2024, 2, 29)"
         ".isoformat()"),
    Step("with open('../out/ünïcode.bin', 'rb') as f:\n    size = len(f.read())\n"
         "size, fib(50), rows, p.tags, count(), state, [t.is_alive() for t in threads], done"),
]
