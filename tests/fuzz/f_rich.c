/* f_rich.c: a driver's line -> struct rich -> the registry.
 *
 * What must hold, whatever the bytes: what is refused is refused again, and leaves nothing; each
 * item has a type of harmless characters; a part of a line that is taken is not taken itself; what is a picture
 * begins as one. */
#include "sandbox/base/mem.h"
#include "tools/rich.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_item(const struct rich *r, const struct rich_item *it)
{
	must(!it->bytes.failed);
	if (r->kind == RICH_ERROR)
		return;
	must(mime_is_plain(sv_of(it->mime)) && strlen(it->mime) < RICH_MIME_SIZE);
	if (!strcmp(it->mime, "image/png"))
		must(!strcmp(mime_of(buf_view(&it->bytes)), "image/png"));
	if (!it->is_text)
		mime_can_show(sv_of(it->mime), buf_view(&it->bytes));
}

static void check(const struct rich *r, struct sv line)
{
	struct rich part;

	must(r->kind < RICH_KINDS && r->nitems <= RICH_ITEMS);
	for (unsigned i = 0; i < r->nitems; i++)
		check_item(r, &r->items[i]);
	line = sv_trim(line);
	must(rich_read((struct sv){line.p, line.n - 1}, &part));
	rich_finish(&part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sv line = {(const char *)data, size};
	struct rich r;

	if (!rich_read(line, &r))
		check(&r, line);
	rich_finish(&r);
	mime_of(line);
	return 0;
}
