/* workspace.h: what is kept of a workspace: encrypted before it is written, and gone when its key is.
 *
 * keys.h	keys in memory, and keys wrapped with keys
 * root.h	where the operator's root key comes from
 * seal.h	an object sealed, and opened again
 * store.h	a folder of sealed objects
 *
 * FORMAT.md says what the bytes on disk are and what they protect. Nobody here knows a database: a
 * wrapped key is 112 bytes that the caller keeps (the ledger has a table for them), and an error names the
 * object it is about. sodium_init() must have been called. The functions block on disks, never on anything else;
 * they are to be called a chunk at a time where that matters. */
#ifndef SANDBOX_WORKSPACE_H
#define SANDBOX_WORKSPACE_H

#include "sandbox/workspace/keys.h"
#include "sandbox/workspace/root.h"
#include "sandbox/workspace/seal.h"
#include "sandbox/workspace/store.h"

#endif
