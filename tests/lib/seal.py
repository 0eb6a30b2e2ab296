#!/usr/bin/python3
"""The format of sandbox/workspace/FORMAT.md once more, sharing no code with sandbox/workspace.

BLAKE2b is hashlib's, ChaCha20-Poly1305 is cryptography's (OpenSSL), HChaCha20 is written out from
draft-irtf-cfrg-xchacha. Run as a program it prints tests/unit/sandbox/workspace/vectors.h; with a folder, it opens
each object there as the test that wrote it says (what.json), and prints what is in it."""
import hashlib
import json
import os
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

CHUNK = 65536
HEADER = 112


def u64(n):
    return struct.pack("<Q", n)


def field(x):
    return u64(len(x)) + x


def blake(n, key, person, message):
    assert len(person) == 16
    return hashlib.blake2b(message, digest_size=n, key=key, person=person).digest()


def key_name(key):
    return blake(16, key, b"fumehood keyname", b"")


def hchacha20(key, nonce):
    """draft-irtf-cfrg-xchacha-03, 2.2: the first and last row of the state after 20 rounds."""
    x = list(struct.unpack("<4I8I4I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for add, other, turn in ((a, d, 16), (c, b, 12), (a, d, 8), (c, b, 7)):
            x[add] = (x[add] + x[b if add == a else d]) & 0xffffffff
            x[other] ^= x[add]
            x[other] = (x[other] << turn | x[other] >> (32 - turn)) & 0xffffffff

    for _ in range(10):
        for row in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(*row)
    return struct.pack("<8I", *x[:4], *x[12:])


def xchacha(key, nonce):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])), bytes(4) + nonce[16:]


def wrap(outer, tenant, workspace, epoch, key, nonce):
    head = b"fhwrap\0\1" + key_name(outer) + key_name(key)
    about = head + field(tenant) + field(workspace) + u64(epoch)
    cipher, short = xchacha(outer, nonce)
    return head + nonce + cipher.encrypt(short, key, about)


def unwrap(outer, tenant, workspace, epoch, wrapped):
    assert len(wrapped) == 112 and wrapped[:24] == b"fhwrap\0\1" + key_name(outer)
    about = wrapped[:40] + field(tenant) + field(workspace) + u64(epoch)
    cipher, short = xchacha(outer, wrapped[40:64])
    key = cipher.decrypt(short, wrapped[64:], about)
    assert wrapped[24:40] == key_name(key)
    return key


def content_id(key, content):
    return blake(32, key, b"fumehood content", content)


def name_id(key, name):
    return blake(32, key, b"fumehood objname", name)


def object_keys(key, tenant, workspace, generation, salt):
    both = blake(64, key, b"fumehood objkeys",
                 field(b"v1") + field(tenant) + field(workspace) + u64(generation) + salt)
    return ChaCha20Poly1305(both[:32]), both[32:]


def tag_of(head_key, header, label):
    return blake(32, head_key, b"fumehood objhead", header[:64] + field(label))


def check_of(header):
    return hashlib.blake2b(header[:96], digest_size=16, person=b"fumehood header.").digest()


def seal(key, tenant, workspace, generation, name, content, salt):
    cipher, head_key = object_keys(key, tenant, workspace, generation, salt)
    label = b"n" + name if name else b"c" + content_id(key, content)
    header = b"fhseal\0\1" + u64(generation) + u64(len(content)) + salt + key_name(key)
    header += tag_of(head_key, header, label)
    header += check_of(header)
    return header + b"".join(cipher.encrypt(u64(i // CHUNK) + bytes(4), content[i:i + CHUNK], None)
                             for i in range(0, len(content), CHUNK))


def unseal(key, tenant, workspace, generation, label, sealed):
    header = sealed[:HEADER]
    assert header[:16] == b"fhseal\0\1" + u64(generation) and header[48:64] == key_name(key)
    assert header[96:] == check_of(header)
    cipher, head_key = object_keys(key, tenant, workspace, generation, header[24:48])
    assert header[64:96] == tag_of(head_key, header, label)
    length, = struct.unpack("<Q", header[16:24])
    pieces = [sealed[i:i + CHUNK + 16] for i in range(HEADER, len(sealed), CHUNK + 16)]
    content = b"".join(cipher.decrypt(u64(i) + bytes(4), piece, None) for i, piece in enumerate(pieces))
    assert len(content) == length
    return content


def pattern(n):
    """n bytes that a test makes as easily."""
    return bytes((i * 7 + i // 251) & 0xff for i in range(n))


ROOT, TENANT, WORKSPACE = (bytes(range(at, at + 32)) for at in (0, 64, 128))
NONCE, SALT = bytes(range(200, 224)), bytes(range(24, 48))
WHO, WHERE = b"key:ci", b"ses_0123456789abcdef"
SIZES = (0, 1, 63, 65535, 65536, 65537, 131072, 200000)


def array(data):
    lines = ["\t" + " ".join(f"0x{b:02x}," for b in data[i:i + 16]) for i in range(0, len(data), 16)]
    return "{\n" + "\n".join(lines) + "\n}"


def vectors():
    """Long objects by their hash: the test makes the same bytes."""
    print("""/* vectors.h: test vectors of sandbox/workspace/FORMAT.md; made by tests/lib/seal.py, not by hand.
 *
 * Root, tenant and workspace key are the bytes 0 to 31, 64 to 95 and 128 to 159; the nonce is 200 to 223, the salt
 * 24 to 47; the tenant is "key:ci", the workspace "ses_0123456789abcdef", the epoch 3. Byte i of a content is
 * (7 i + i / 251) mod 256. Sealed objects are given whole up to 512 bytes, and all by their SHA-256. */
#ifndef WORKSPACE_VECTORS_H
#define WORKSPACE_VECTORS_H

#include <stddef.h>
#include <stdint.h>
""")
    for name, data in (("vec_root_name", key_name(ROOT)), ("vec_tenant_name", key_name(TENANT)),
                       ("vec_workspace_name", key_name(WORKSPACE)),
                       ("vec_wrapped_tenant", wrap(ROOT, WHO, b"", 3, TENANT, NONCE)),
                       ("vec_wrapped_workspace", wrap(TENANT, WHO, WHERE, 3, WORKSPACE, NONCE)),
                       ("vec_id_of_name", name_id(WORKSPACE, b"manifest"))):
        print(f"static const unsigned char {name}[{len(data)}] = {array(data)};\n")
    print("""static const struct vector {
	size_t bytes;
	uint64_t generation;
	const char *name;	/* "": by its content */
	size_t sealed_bytes;
	unsigned char id[32], sha256[32], sealed[512];
} vectors[] = {""")
    for size in SIZES:
        for name, generation in ((b"", 0), (b"manifest", 7)):
            content = pattern(size)
            sealed = seal(WORKSPACE, WHO, WHERE, generation, name, content, SALT)
            label = b"n" + name if name else b"c" + content_id(WORKSPACE, content)
            assert unseal(WORKSPACE, WHO, WHERE, generation, label, sealed) == content
            parts = [name_id(WORKSPACE, name) if name else content_id(WORKSPACE, content),
                     hashlib.sha256(sealed).digest(), sealed if len(sealed) <= 512 else b"\0"]
            print(f"{{{size}, {generation}, \"{name.decode()}\", {len(sealed)},")
            print(",\n".join(map(array, parts)) + "},")
    print("};\n\n#endif")


def check(folder):
    """what.json: a list of {file, key, tenant, workspace, generation, name or id, sha256}."""
    with open(os.path.join(folder, "what.json"), "rb") as file:
        for one in json.load(file):
            with open(os.path.join(folder, one["file"]), "rb") as sealed:
                label = b"c" + bytes.fromhex(one["id"]) if one["id"] else b"n" + one["name"].encode()
                content = unseal(bytes.fromhex(one["key"]), one["tenant"].encode(), one["workspace"].encode(),
                                 one["generation"], label, sealed.read())
            assert hashlib.sha256(content).hexdigest() == one["sha256"], one
            print(one["file"], len(content))


def refuses():
    """That it can tell: a bit of the box, another place."""
    good = wrap(ROOT, WHO, b"", 3, TENANT, NONCE)
    assert unwrap(ROOT, WHO, b"", 3, good) == TENANT
    for bad, tenant in ((good[:-1] + bytes([good[-1] ^ 1]), WHO), (good, b"key:x")):
        try:
            unwrap(ROOT, tenant, b"", 3, bad)
        except InvalidTag:
            continue
        raise AssertionError("a wrong wrapped key was opened")


def check_hchacha20():
    """draft-irtf-cfrg-xchacha-03, 2.2.1."""
    got = hchacha20(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927"))
    assert got.hex() == "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc", got.hex()


if __name__ == "__main__":
    check_hchacha20()
    refuses()
    if len(sys.argv) > 1:
        check(sys.argv[1])
    else:
        vectors()
