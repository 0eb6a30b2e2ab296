/* input.c: the bundle of args, env and files a call hands to the guest.
 *
 * An entry is {u8 kind, u32 name_bytes, u64 data_bytes, name, data}, little-endian and unaligned.
 * The bundle ends with its last entry; a buffer that failed is refused here, so a bundle is never
 * cut in the middle. */
#include "sandbox/supervise/supervise.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "entries are written as they lie");

enum input_kind { INPUT_ARG = 1, INPUT_ENV = 2, INPUT_FILE = 3, INPUT_CWD = 4 };

#define INPUT_HEAD_BYTES (1 + sizeof(uint32_t) + sizeof(uint64_t))

static int too_much(struct err *e)
{
	err_set(e, ERR_LIMIT,
		"arguments, environment and files of one call are more than %llu MiB together",
		(unsigned long long)(POL_MAX_INPUT_BYTES >> 20));
	return err_fix(e, "send fewer or smaller files");
}

static int add_entry(struct buf *b, enum input_kind kind, struct sv name,
		     struct sv data, struct err *e)
{
	char head[INPUT_HEAD_BYTES] = {(char)kind};
	uint32_t name_bytes = (uint32_t)name.n;
	uint64_t data_bytes = data.n, left = POL_MAX_INPUT_BYTES;

	if (b->failed || b->n > left || sizeof(head) > left - b->n)
		return too_much(e);
	left -= b->n + sizeof(head);
	if (name.n > left || data.n > left - name.n)
		return too_much(e);
	memcpy(head + 1, &name_bytes, sizeof(name_bytes));
	memcpy(head + 1 + sizeof(name_bytes), &data_bytes, sizeof(data_bytes));
	if (!buf_reserve(b, sizeof(head) + name.n + data.n))
		return too_much(e);
	buf_add(b, head, sizeof(head));
	buf_sv(b, name);
	buf_sv(b, data);
	return 0;
}

int sup_input_arg(struct buf *b, struct sv value, struct err *e)
{
	return add_entry(b, INPUT_ARG, SV(""), value, e);
}

int sup_input_env(struct buf *b, struct sv name, struct sv value, struct err *e)
{
	return add_entry(b, INPUT_ENV, name, value, e);
}

int sup_input_file(struct buf *b, struct sv path, struct sv content, struct err *e)
{
	return add_entry(b, INPUT_FILE, path, content, e);
}

int sup_input_cwd(struct buf *b, struct sv path, struct err *e)
{
	return add_entry(b, INPUT_CWD, SV(""), path, e);
}
