#!/usr/bin/env python3
"""Makes the MCP bundle: pack.py --version V --binary FILE --schemas DIR [--bwrap FILE] --output FILE

A bundle is a zip file that a host of MCP servers (Claude Desktop, ...) installs with a click:

    manifest.json                 ours, with the version and the tools of schemas/tool_*.json
    icon.png
    server/bin/fumehood           finds both of these by its own place
    server/lib/*.so.*             what it is linked with, but for the C library
    server/libexec/fumehood/bwrap
    licenses/*                    of all that is not ours

The same input gives the same bytes.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The C library must be the host's own: its parts belong together and to the kernel.
OF_THE_HOST = re.compile(r"^(linux-vdso|ld-linux|lib(c|m|dl|rt|pthread|resolv))[.-]")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment a zip file knows


def libraries(binary):
    """soname -> file, of what the binary loads."""
    found = {}
    listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        if not arrow or OF_THE_HOST.match(name):
            continue
        if not rest.startswith("/"):
            sys.exit(f"pack.py: {binary} needs {name}, which is not there")
        found[name] = Path(rest.split(" (")[0]).resolve()
    return found


def licence(file):
    """(name, text) of the Debian package that a file is of; None elsewhere."""
    # usr-merged systems: the database may know the file by its other name
    for path in (str(file), str(file).removeprefix("/usr")):
        owner = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True)
        if owner.returncode == 0:
            package = owner.stdout.split(":")[0]
            text = Path("/usr/share/doc", package, "copyright")
            return (package, text.read_bytes()) if text.exists() else None
    return None


def tools(schemas):
    found = [json.loads(file.read_text()) for file in sorted(schemas.glob("tool_*.json"))]
    return [{"name": t["name"], "description": t["description"]} for t in found]


def manifest(options):
    made = json.loads((HERE / "manifest.json").read_text())
    made["version"] = options.version
    made["tools"] = tools(options.schemas)
    libc = "glibc " + ".".join(platform.libc_ver(options.binary)[1].split(".")[:2])
    needs = f" For Linux on {platform.machine()} with {libc} or newer"
    needs += "." if options.bwrap else ", and the package bubblewrap."
    made["long_description"] += needs
    return made


def contents(options):
    """(name, bytes, mode) of each file."""
    yield "manifest.json", (json.dumps(manifest(options), indent=2) + "\n").encode(), 0o644
    yield "icon.png", (HERE / "icon.png").read_bytes(), 0o644
    yield "server/bin/fumehood", Path(options.binary).read_bytes(), 0o755
    licences = {"fumehood": (HERE / "../../LICENSE").read_bytes()}
    for soname, file in sorted(libraries(options.binary).items()):
        yield f"server/lib/{soname}", file.read_bytes(), 0o755
        name, text = licence(file) or (None, None)
        if name:
            licences[name] = text
    if options.bwrap:
        yield "server/libexec/fumehood/bwrap", Path(options.bwrap).read_bytes(), 0o755
    # what `make deps` built from source is linked in, or beside
    for text in sorted(Path(options.sources).glob("*/debian/copyright")):
        licences[text.parts[-3]] = text.read_bytes()
    for name, text in sorted(licences.items()):
        yield f"licenses/{name}", text, 0o644


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("version", "binary", "output"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--schemas", required=True, type=Path)
    parser.add_argument("--sources", default="/nonexistent")
    parser.add_argument("--bwrap", default="")
    options = parser.parse_args()
    partial = options.output + ".tmp"
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bundle:
        for name, data, mode in contents(options):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = (0o100000 | mode) << 16
            entry.create_system = 3  # Unix: the mode counts
            entry.compress_type = zipfile.ZIP_DEFLATED
            bundle.writestr(entry, data)
    os.replace(partial, options.output)


if __name__ == "__main__":
    main()
