/* rich.h: what a session's driver says beside stdout and stderr: lines of JSON, read strictly.
 *
 * The code of a call can take its driver over, so a line is what a program wrote: hostile bytes. One
 * that is not exactly of the contract (sandbox/guest/drivers) is refused as a whole; an item of it
 * that cannot be used is left out and counted. Nothing of a line is shown without being bounded and
 * marked; text may still be ill-formed UTF-8, which the JSON writer replaces.
 *
 * Life cycle: rich_read -> use -> rich_finish, also after a failure. */
#ifndef TOOLS_RICH_H
#define TOOLS_RICH_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"

#define RICH_MAX_DEPTH 32
#define RICH_ITEMS 8		/* forms of one output that are kept */
#define RICH_MIME_SIZE 80	/* of a type, with its NUL */

enum rich_kind { RICH_DISPLAY, RICH_RESULT, RICH_ERROR, RICH_KINDS };
extern const char *const rich_kind_names[RICH_KINDS];

struct rich_item {
	char mime[RICH_MIME_SIZE];
	bool is_text;
	struct buf bytes;		/* owned; text, or what base64 stood for */
};

/* The items of an error, which have no types of their own. */
enum { RICH_TYPE, RICH_MESSAGE, RICH_TRACEBACK, RICH_ERROR_ITEMS };

struct rich {
	enum rich_kind kind;
	unsigned nitems, left_out;
	uint32_t line;			/* of an error; 0: not known */
	struct rich_item items[RICH_ITEMS];
};
/* 0, or -1: not a line of the contract, or no memory. */
int rich_read(struct sv line, struct rich *ret);
void rich_finish(struct rich *r);

/* --- rich_json.c: one value after another from JSON text ----------------------------------------- */

enum rich_value { RICH_NONE, RICH_STRING, RICH_NUMBER, RICH_OBJECT, RICH_OTHER };
/* Cuts the value at the start of *rest and the blanks around it: what it is, and its text in *ret;
 * RICH_NONE: ill-formed, or deeper than RICH_MAX_DEPTH. */
enum rich_value rich_cut_value(struct sv *rest, struct sv *ret);
/* The next member of an object whose text *rest is at first: 1, 0 at the end, -1 ill-formed. */
struct rich_member {
	struct sv name;			/* with its quotes */
	struct sv value;
	enum rich_value kind;
};
int rich_next_member(struct sv *rest, struct rich_member *ret);
/* Appends what the string stands for. A surrogate alone becomes U+FFFD. */
void rich_unquote(struct sv quoted, struct buf *b);
/* Whether the string is just that word, written without escapes. */
bool rich_is_word(struct sv quoted, const char *word);

/* --- mime.c: what bytes are ------------------------------------------------------------------------ */

/* By the first bytes (512 are enough) alone: never NULL. */
const char *mime_of(struct sv head);
/* Whether values of that type are text as it is, rather than base64. */
bool mime_is_text(struct sv mime);
/* type/subtype of harmless characters, in lower case. */
bool mime_is_plain(struct sv mime);
/* An image that clients show, of a width and height that they can bear. Of a JPEG all bytes are needed: other
 * things may stand before its size. */
bool mime_can_show(struct sv mime, struct sv whole);

#endif
