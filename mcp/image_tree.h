/* image_tree.h: what an image is made of, walked: checked, put in order, hashed, removed.
 *
 * A walk is depth first; the names of a folder come in the order of their bytes, a folder before what is in
 * it. Symbolic links are never followed. IMAGE_MANIFEST at the top is left out. What is walked was written by
 * package managers, from what strangers publish: depth, names and kinds are checked, nothing is believed. */
#ifndef MCP_IMAGE_TREE_H
#define MCP_IMAGE_TREE_H

#include "sandbox/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define IMAGE_MANIFEST "image.json"
#define IMAGE_MAX_DEPTH 48
#define IMAGE_DIGEST_SIZE 65		/* hex, with its NUL */

struct image_sum {
	uint64_t entries;		/* files, folders and links */
	uint64_t bytes;			/* in files */
};

/* Owner and modes of all in dir: files, folders and links of the folder's own owner, whom nobody else can
 * replace, and everybody may read. Cheap: nothing is opened but folders. */
int image_tree_check(int dir, struct image_sum *ret, struct err *e);
/* Makes it so: folders and programs 0755, other files 0644. Anything but files, folders and links is an error. */
int image_tree_seal(int dir, struct err *e);
/* SHA-256 over one record per entry, in the walk's order; PATH is relative, with slashes, NUL a zero byte:
 *	folder	"d 0755 PATH" NUL
 *	file	"f MODE BYTES SHA256 PATH" NUL		MODE 0644 or 0755, BYTES decimal, SHA256 in hex
 *	link	"l PATH" NUL TARGET NUL
 * Every file is read. */
int image_tree_digest(int dir, char ret[IMAGE_DIGEST_SIZE], struct err *e);
/* Removes name in parent with all that is in it; a name that is not there is no error. */
int image_tree_remove(int parent, const char *name, struct err *e);

#endif
