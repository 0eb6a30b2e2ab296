/* store.h: a folder of sealed objects, one per workspace.
 *
 * 	PARENT/KEYNAME/			0700; the name of the workspace's key in hex
 * 	PARENT/KEYNAME/ID		0600; an object, under the id of its content or its name in hex
 * 	PARENT/KEYNAME/new.N		is being written; swept when the folder is opened again
 *
 * Life cycle: ws_store_open -> ws_put_start, ws_seal_add(st->seal) or ws_seal_from ..., ws_put_end -> ... ->
 * ws_store_flush -> ...; ws_get, ws_open_chunk(st->open) ..., ws_get_end; -> ws_store_finish. One object is put
 * and one got at a time.
 *
 * What was put is visible and survives a power cut when ws_store_flush has returned, and not before: it syncs
 * all that was put since the last one, then renames, then syncs the folder. A kill at any point leaves each
 * object as it was or as it is to be. What names other objects (a manifest) is to be put after a flush of those.
 * Of what has a name, the newest generation put is what is there; one lock keeps a second process out of the
 * folder.
 *
 * An object costs a file, some 0.2 ms: many small contents belong together in one, from which chunks can be read
 * alone.
 *
 * Nobody but us writes below PARENT; all the same nothing is opened through a symbolic link, and what is read is
 * verified. */
#ifndef WORKSPACE_STORE_H
#define WORKSPACE_STORE_H

#include "sandbox/workspace/seal.h"

#define WS_STORE_NAME_SIZE (2 * WS_KEY_NAME_BYTES + 1)

/* All is borrowed for the life of the store. */
struct ws_store_opts {
	int parent;			/* descriptor of the folder of all stores */
	const struct ws_key *key;	/* the workspace's */
	struct sv tenant, workspace;
	struct ws_seal *seal;		/* may serve other stores, between puts */
	struct ws_open *open;
};

struct ws_store {
	struct ws_store_opts o;		/* seal and open are for the caller */
	int dir;
	int put_fd, get_fd;		/* -1: none */
	bool named;			/* what is being put */
	uint64_t next;			/* of new.N */
	struct buf pending;		/* put, not flushed: struct pending each */
};

/* Which object, and how errors call it. */
struct ws_object {
	struct ws_label label;		/* to be put, its id is NULL: by its content unless there is a name */
	uint64_t generation;		/* 0 by its content */
	const char *what;
};

/* Makes the folder when it is missing. ERR_BUSY: another process has it open. */
int ws_store_open(struct ws_store *st, const struct ws_store_opts *o, struct err *e);
void ws_store_finish(struct ws_store *st);	/* what was not flushed is gone */

/* Views in x are borrowed until ws_put_end or ws_put_drop. */
int ws_put_start(struct ws_store *st, const struct ws_object *x, struct err *e);
/* ret_id: what it is called. Of a content that is there already nothing more is kept. */
int ws_put_end(struct ws_store *st, unsigned char ret_id[WS_ID_BYTES], struct err *e);
void ws_put_drop(struct ws_store *st);
/* See above. On failure each object is as it was or as it was to be, and all is to be put again. */
int ws_store_flush(struct ws_store *st, struct err *e);

/* Opens st->open on it. ERR_NOT_FOUND: it is not there; else as ws_open_start. */
int ws_get(struct ws_store *st, const struct ws_object *x, struct err *e);
void ws_get_end(struct ws_store *st);

/* Is a flushed object of that id there? Nothing is verified. */
bool ws_has(const struct ws_store *st, const unsigned char id[WS_ID_BYTES]);
/* Deleting what is not there is no error. A power cut may bring it back. */
int ws_delete(struct ws_store *st, const unsigned char id[WS_ID_BYTES], struct err *e);
/* Each flushed object; sealed_bytes is its file's size. on_object may delete it. */
int ws_each(struct ws_store *st, void (*on_object)(void *arg, const unsigned char *id, uint64_t sealed_bytes),
	    void *arg, struct err *e);

/* --- all of a workspace -------------------------------------------------------------- */

/* The folder's name. */
void ws_store_name(const unsigned char key_name[WS_KEY_NAME_BYTES], char ret[WS_STORE_NAME_SIZE]);
/* Removes the folder of the key that has this name, with all that is in it; no store may have it open. One that is
 * not there is no error. */
int ws_store_destroy(int parent, const unsigned char key_name[WS_KEY_NAME_BYTES], struct err *e);
/* Each folder, by its key's name: those whose key is gone are to be destroyed. */
int ws_store_list(int parent, void (*on_store)(void *arg, const unsigned char *key_name), void *arg, struct err *e);

#endif
