/* root.h: the operator's root key: in a file, a systemd credential, or made of a passphrase.
 *
 * Its file is one line of text, mode 0400:
 *
 * 	fumehood-root-1 key NAME KEY			32 hex digits, 43 characters of base64url
 * 	fumehood-root-1 argon2id NAME OPS KIB SALT	the key is made of a passphrase: Argon2id 1.3, one lane
 *
 * NAME is the key's name (keys.h). It is in the clear, so that a wrong file and a wrong passphrase are told
 * apart from damage; what can be guessed from it is what can be guessed from any wrapped key.
 *
 * Rotation must survive being cut off between the database, which has the tenant keys wrapped with the new root,
 * and the file. The new key is first made as PATH.new (ws_root_make), then the database is changed, then
 * PATH.new takes the place of PATH (ws_root_keep). ws_root_settle, called first of all with the name the
 * database has, finishes what was cut off after the change, and removes what was cut off before; never a key
 * that may be in use. */
#ifndef WORKSPACE_ROOT_H
#define WORKSPACE_ROOT_H

#include "sandbox/workspace/keys.h"

#define WS_ROOT_PATH_SIZE 4096
#define WS_MIN_PASSPHRASE 12
#define WS_MAX_PASSPHRASE 1024
#define WS_ARGON_OPS 3
#define WS_ARGON_KIB 262144	/* 256 MiB, half a second */

struct ws_root {
	char path[WS_ROOT_PATH_SIZE];
	bool credential;	/* systemd's: its owner may be root, its group is what an ACL lets read */
	bool passphrase;
	unsigned char name[WS_KEY_NAME_BYTES];
	uint64_t ops, kib;	/* of a passphrase: passes, memory */
	unsigned char salt[16];
	struct ws_key *key;	/* owned; NULL until it is unlocked */
};

/* Where it is: `file`, else CREDENTIALS/fumehood.root where there is one (credentials may be NULL), else
 * STATE_DIR/root.key. Fills path and credential; nothing else is looked at. */
int ws_root_find(struct ws_root *r, const char *file, const char *credentials, const char *state_dir,
		 struct err *e);
/* Reads the file; a key that is in it is there then. -1: ERR_NOT_FOUND; ERR_DENIED when it is not ours alone;
 * ERR_INVALID when it is no root key. */
int ws_root_read(struct ws_root *r, struct err *e);
/* Makes the key of the passphrase, if it is made of one; takes the time and memory its file says. */
int ws_root_unlock(struct ws_root *r, struct sv passphrase, struct err *e);
/* Makes another key as PATH.new: random, or of the passphrase if there is one, with r->ops and r->kib. r is it
 * then; what it was before stays the caller's to free. */
int ws_root_make(struct ws_root *r, struct sv passphrase, struct err *e);
/* PATH.new becomes PATH. What was PATH is overwritten, as far as the file system does that in place. */
int ws_root_keep(const struct ws_root *r, struct err *e);
/* See above. `name` NULL: the database has none. */
int ws_root_settle(const struct ws_root *r, const unsigned char *name, struct err *e);
void ws_root_finish(struct ws_root *r);

#endif
