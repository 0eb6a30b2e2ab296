/* image.h: runtime images: folders of packages that the operator makes and sandboxes see read-only.
 *
 *	STATE/images/NAME/image.json		the manifest, written last
 *	STATE/images/NAME/python/		what PYTHONPATH names in a sandbox
 *	STATE/images/NAME/javascript/		NODE_PATH names its node_modules
 *	STATE/images/NAME/cache/		what packages would else make anew each time
 *	STATE/images/NAME.new			is being made; one that was given up is removed by the next command
 *	STATE/images/.old-XXXXXXXX		was replaced or removed while a server had it open
 *
 * Life cycle: made under NAME.new, put in order, hashed, renamed: what has a manifest is complete. From then on
 * nothing in it changes. Who uses one has it open with a shared lock (image_open), and what is replaced or removed
 * meanwhile stays, under another name, until that lock is gone: a server keeps the image it was started with.
 * `image create` and `image remove` hold a lock on the folder of all images: one at a time.
 *
 * Nobody but the operator can have written there: state folder, images and all within must be the server's own
 * user's, or root's, and writable for no one else. Else it is refused. */
#ifndef MCP_IMAGE_H
#define MCP_IMAGE_H

#include "mcp/image_tree.h"
#include "mcp/options.h"
#include "sandbox/supervise/supervise.h"

#define IMAGE_NAME_SIZE SUP_IMAGE_NAME_SIZE
#define IMAGE_MAX_MANIFEST_BYTES ((size_t)4 << 20)

/* Letters, digits, '-', '_' and '.', beginning with a letter or digit, not ending with .new: at most 64 bytes. */
int image_name_check(struct sv name, struct err *e);

/* Opens o->image for a server: found, complete, nobody else's. The descriptor is the caller's and holds the lock.
 * With o->image_unfinished the one that is being made, which has no manifest yet. */
int image_open(const struct options *o, struct err *e);
/* Hashes all of it and compares: -1 with ERR_DENIED when it is not what was made. */
int image_verify(int dir, struct err *e);
/* What its manifest says; of one without: a name "unfinished" and no packages. */
int image_facts(int dir, struct sup_image *ret, struct err *e);
/* The manifest's tree, checked; owned by the caller (cJSON_Delete). */
struct cJSON *image_manifest(int dir, struct err *e);
/* A package's name or version as it may be shown: printable ASCII without blanks. */
bool image_is_plain(struct sv s);

/* --- for the command ------------------------------------------------------------------------------- */

/* The folder of all images. make: with the state folder if it is missing, locked, and swept. Else -1 with ERR_NOT_FOUND
 * when there is none. */
int image_store_open(const struct options *o, bool make, struct err *e);
/* Opens one with the lock. */
int image_open_in(int store, const char *name, bool unfinished, struct err *e);
/* Moves it out of the way and removes it, unless somebody has it open: then *ret_kept, and a later command will. */
int image_retire(int store, const char *name, bool *ret_kept, struct err *e);
/* NAME.new gets the name; what had it before is retired. */
int image_publish(int store, const char *name, bool *ret_kept, struct err *e);
/* create: see image_make.c. Says on stderr what it does. */
int image_make(const struct options *o, int store, const char *name, struct err *e);
/* Runs what makes the caches of known packages, in a sandbox, and puts them into NAME.new; see image_cache.c. */
int image_make_caches(const struct options *o, int dir, const char *name, struct err *e);

#endif
