"""The programs that are timed, and plain bwrap around them.

Each prints a number made from one that no other run got, so that no answer can pass for another's.
"""
FACTOR = 1000003
CODE = {
    "python": f"print({FACTOR}*NONCE)",
    "javascript": f"console.log({FACTOR}*NONCE)",
    "bash": f"echo $(({FACTOR}*NONCE))",
}
OPTION = {"python": "-c", "javascript": "-e", "bash": "-c"}
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}

# All namespaces, no capability, nothing writable but two small tmpfs. No seccomp filter, no
# Landlock, no cgroup: one line anybody can type, and cheaper than what it is compared with.
BWRAP = """--unshare-all --unshare-user --disable-userns --as-pid-1 --die-with-parent --new-session
    --clearenv --setenv PATH /usr/bin:/bin --setenv HOME /tmp --setenv LANG C.UTF-8
    --uid 1000 --gid 1000 --cap-drop ALL --ro-bind /usr /usr --symlink usr/bin /bin
    --symlink usr/sbin /sbin --symlink usr/lib /lib --symlink usr/lib64 /lib64
    --ro-bind /etc/ld.so.cache /etc/ld.so.cache --proc /proc --dev /dev
    --size 33554432 --tmpfs /tmp --size 67108864 --tmpfs /workspace --chdir /workspace
    --remount-ro / --""".split()


def code(language, nonce):
    return CODE[language].replace("NONCE", str(nonce))


def expected(nonce):
    return f"{FACTOR * nonce}\n"


# Prints, beside its number, when its first instruction ran: CLOCK_MONOTONIC is the same in every sandbox.
CODE_FIRST = {
    "python": f"import time; t = time.monotonic_ns(); print({FACTOR}*NONCE, t)",
    "javascript": f"const t = process.hrtime.bigint(); console.log(`${{{FACTOR}*NONCE}} ${{t}}`)",
}


def code_first(language, nonce):
    return CODE_FIRST[language].replace("NONCE", str(nonce))


def first_ns(output, nonce):
    """When it was; None: that is not its output."""
    words = output.split()
    if len(words) != 2 or words[0] != str(FACTOR * nonce) or not words[1].isdigit():
        return None
    return int(words[1])


def bare(interpreter, language, text):
    return [interpreter, OPTION[language], text]


def in_bwrap(bwrap, argv):
    return [bwrap, *BWRAP, *argv]
