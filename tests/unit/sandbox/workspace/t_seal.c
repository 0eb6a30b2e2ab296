/* Sealed objects: any change of a byte, any cut, any file in another's place is found, and told. */
#include "ws_test.h"

#define CH WS_CHUNK_BYTES

static struct ws_key *key;
static unsigned char *bytes;

static struct sv content(size_t n)
{
	return (struct sv){(const char *)bytes, n};
}

/* A sealed object of n bytes, by its content. */
static void sealed(struct buf *b, size_t n, struct ws_label *label,
		   unsigned char id[WS_ID_BYTES])
{
	const struct ws_place at = place(key, 0);

	buf_init(b, (size_t)1 << 20);
	must(!seal_buf(&at, (struct sv){0}, content(n), b, id));
	*label = (struct ws_label){.id = id};
}

static void sizes(void)
{
	static const size_t all[] = {0,	     1,	     15,	  16,
				     111,    112,    CH - 1,	  CH,
				     CH + 1, 2 * CH, 2 * CH + 17, 5 * CH - 1};
	const struct ws_place at = place(key, 0);
	unsigned good = 0;

	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		AUTO_BUF b = {0};
		unsigned char id[WS_ID_BYTES];
		struct ws_label l;

		sealed(&b, all[i], &l, id);
		good += b.n == ws_sealed_bytes(all[i]) &&
			!open_buf(&at, &l, &b, content(all[i]), NULL);
	}
	ok(good == ARRAY_LEN(all), "objects of all sizes are opened again (%u)", good);
}

/* The content arrives in odd pieces; the object is the same but for its salt. */
static void pieces(void)
{
	static const size_t steps[] = {1, 7, 4096, CH - 1, CH, CH + 1, 3 * CH};
	const struct ws_place at = place(key, 0);
	const size_t n = 3 * CH + 5;
	unsigned good = 0;

	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		AUTO_BUF b = {.max = (size_t)1 << 20};
		struct ws_seal *s = ws_seal_new(NULL);
		const struct ws_file to = {.fd = -1, .b = &b};
		unsigned char id[WS_ID_BYTES];

		must(s && !ws_seal_start(s, &at, (struct sv){0}, &to, NULL));
		for (size_t at_ = 0; at_ < n; at_ += steps[i])
			must(!ws_seal_add(s, bytes + at_,
					  steps[i] < n - at_ ? steps[i] : n - at_,
					  NULL));
		must(!ws_seal_end(s, id, NULL));
		good += !open_buf(&at, &(struct ws_label){.id = id}, &b, content(n),
				  NULL);
		ws_seal_free(s);
	}
	ok(good == ARRAY_LEN(steps), "however the content arrives (%u)", good);
}

static void ids(void)
{
	AUTO_BUF a = {0}, b = {0}, c = {.max = 4096};
	struct ws_key *other = ws_key_new(NULL);
	const struct ws_place elsewhere = place(other, 0);
	unsigned char ida[WS_ID_BYTES], idb[WS_ID_BYTES], idc[WS_ID_BYTES];
	struct ws_label l;

	sealed(&a, 1000, &l, ida);
	sealed(&b, 1000, &l, idb);
	ok(!memcmp(ida, idb, sizeof(ida)), "equal contents have one id");
	ok(memcmp(a.p + WS_HEADER_BYTES, b.p + WS_HEADER_BYTES, 1000),
	   "and different sealed bytes");
	must(!seal_buf(&elsewhere, (struct sv){0}, content(1000), &c, idc));
	ok(memcmp(ida, idc, sizeof(ida)), "in another workspace the id is another");
	ws_id_of_name(key, SV("x"), ida);
	ws_id_of_name(other, SV("x"), idb);
	ok(memcmp(ida, idb, sizeof(ida)), "so is that of a name");
	ok(!memmem(a.p, a.n, bytes, 16) && !memmem(c.p, c.n, bytes, 16),
	   "nothing of the content is in the clear");
	ws_key_free(other);
}

static void flips(void)
{
	AUTO_BUF b = {0};
	const struct ws_place at = place(key, 0);
	unsigned char id[WS_ID_BYTES];
	struct ws_label l;
	unsigned found = 0, named = 0, all = 0;

	sealed(&b, 100, &l, id);
	for (size_t i = 0; i < 8 * b.n; i++, all++) {
		struct err e = {0};

		b.p[i / 8] = (char)(b.p[i / 8] ^ (1 << i % 8));
		found += open_buf(&at, &l, &b, content(100), &e) == -1;
		named += strstr(e.cause, "object x") && e.remediation[0];
		b.p[i / 8] = (char)(b.p[i / 8] ^ (1 << i % 8));
	}
	ok(found == all && named == all,
	   "each of %u flipped bits is found (%u), and the object named (%u)", all,
	   found, named);
	ok(!open_buf(&at, &l, &b, content(100), NULL), "the control opens");
}

/* Opens the object, and looks at what is said. */
static void says(const struct ws_place *at, const struct ws_label *l, struct buf *b,
		 enum err_code code, const char *words)
{
	struct err e = {0};
	int rc = open_buf(at, l, b, content(3 * CH), &e);

	ok(rc == -1 && e.code == code && strstr(e.cause, words) &&
		   strstr(e.cause, at->what),
	   "%s", e.cause);
}

/* At every byte of the header, and near every border of a chunk. */
static void cuts(void)
{
	AUTO_BUF b = {0};
	const struct ws_place at = place(key, 0);
	unsigned char id[WS_ID_BYTES];
	struct ws_label l;
	unsigned found = 0, told = 0, all = 0;
	size_t whole;

	sealed(&b, 3 * CH, &l, id);
	whole = b.n;
	for (size_t n = 0; n < whole; n++) {
		const size_t in =
			n < WS_HEADER_BYTES ? 0 : (n - WS_HEADER_BYTES) % (CH + 16);
		struct err e = {0};

		if (in > 40 && in < CH - 24)
			continue;
		all++;
		b.n = n;
		found += open_buf(&at, &l, &b, content(3 * CH), &e) == -1;
		told += strstr(e.cause, "truncated") != NULL;
	}
	ok(found == all && told == all, "each of %u cuts is found (%u) and told (%u)",
	   all, found, told);
	b.n = whole;
	buf_byte(&b, 'x');
	says(&at, &l, &b, ERR_INTERNAL, "behind its end");
	b.n--;
	ok(!open_buf(&at, &l, &b, content(3 * CH), NULL), "the control opens");
}

static char *chunk(struct buf *b, unsigned i)
{
	return b->p + WS_HEADER_BYTES + (size_t)i * (CH + 16);
}

static void moved(void)
{
	AUTO_BUF b = {0}, other = {0};
	const struct ws_place at = place(key, 0);
	unsigned char id[WS_ID_BYTES], *first = mem_alloc(CH + 16);
	struct ws_label l;

	sealed(&b, 3 * CH, &l, id);
	memcpy(first, chunk(&b, 0), CH + 16);
	memcpy(chunk(&b, 0), chunk(&b, 1), CH + 16);
	says(&at, &l, &b, ERR_INTERNAL, "chunk 1 where 0 should be");
	memcpy(chunk(&b, 1), first, CH + 16); /* swapped */
	says(&at, &l, &b, ERR_INTERNAL, "chunk 1 where 0 should be");
	memcpy(chunk(&b, 0), first, CH + 16); /* repeated */
	says(&at, &l, &b, ERR_INTERNAL, "chunk 0 where 1 should be");
	sealed(&other, 3 * CH, &l, id);
	memcpy(chunk(&other, 2), chunk(&b, 2), CH + 16);
	says(&at, &l, &other, ERR_INTERNAL, "damaged in chunk 2 of 3");
	memcpy(other.p, b.p, WS_HEADER_BYTES);
	says(&at, &l, &other, ERR_INTERNAL, "damaged in chunk 0");
	mem_free(first);
}

static void swapped(void)
{
	AUTO_BUF b = {.max = (size_t)1 << 20}, empty = {.max = 100},
		 zero = {.max = 100};
	struct ws_key *second = ws_key_new(NULL);
	struct ws_place at = place(key, 7), other;
	const struct ws_label l = {.name = SV("manifest")};
	unsigned char id[WS_ID_BYTES];

	must(!seal_buf(&at, l.name, content(3 * CH), &b, id));
	ok(!open_buf(&at, &l, &b, content(3 * CH), NULL), "the control opens");
	other = at;
	other.generation = 8;
	says(&other, &l, &b, ERR_DENIED, "generation 7, not 8");
	other = at;
	other.key = second;
	says(&other, &l, &b, ERR_DENIED, "another workspace's key");
	other = at;
	other.tenant = SV("key:cj");
	says(&other, &l, &b, ERR_DENIED, "another tenant, workspace or name");
	other = at;
	other.workspace = SV("ses_0123456789abcdee");
	says(&other, &l, &b, ERR_DENIED, "another tenant, workspace or name");
	/* the same bytes in a row, cut elsewhere */
	other.tenant = SV("key:cises");
	other.workspace = SV("_0123456789abcdef");
	says(&other, &l, &b, ERR_DENIED, "another tenant, workspace or name");
	says(&at, &(struct ws_label){.name = SV("manifest2")}, &b, ERR_DENIED,
	     "another tenant, workspace or name");
	says(&at, &(struct ws_label){.id = id}, &b, ERR_DENIED,
	     "another tenant, workspace or name");
	says(&at, &l, &empty, ERR_INTERNAL, "not even its header");
	memset(buf_reserve(&zero, 100), 0, 100);
	buf_commit(&zero, 100);
	says(&at, &l, &zero, ERR_INTERNAL, "truncated");
	memset(b.p, 0, WS_HEADER_BYTES);
	says(&at, &l, &b, ERR_INTERNAL, "cut off");
	memcpy(b.p, "fhseal\0\2", 8);
	says(&at, &l, &b, ERR_UNAVAILABLE, "format 2");
	ws_key_free(second);
}

/* Chunks are opened alone, in any order, and what was not asked for may be broken. */
static void in_part(void)
{
	AUTO_BUF b = {0};
	const struct ws_place at = place(key, 0);
	struct ws_open *o = ws_open_new(NULL);
	const struct ws_file from = {.fd = -1, .b = &b};
	unsigned char id[WS_ID_BYTES];
	struct err e = {0};
	struct ws_label l;
	struct sv part;

	sealed(&b, 2 * CH + 9, &l, id);
	*chunk(&b, 1) ^= 1;
	must(o && !ws_open_start(o, &at, &l, &from, NULL));
	ok(!ws_open_chunk(o, 2, &part, NULL) && part.n == 9 &&
		   !memcmp(part.p, bytes + 2 * CH, 9),
	   "the last chunk alone");
	ok(!ws_open_chunk(o, 0, &part, NULL) && part.n == CH &&
		   !memcmp(part.p, bytes, CH),
	   "then the first");
	ok(ws_open_chunk(o, 1, &part, &e) && strstr(e.cause, "chunk 1 of 3"),
	   "not the broken one: %s", e.cause);
	ok(ws_open_chunk(o, 3, &part, NULL) &&
		   ws_open_chunk(o, UINT64_MAX, &part, NULL),
	   "nor one that is not");
	ok(!ws_open_chunk(o, 0, &part, NULL), "and the first again");
	ws_open_free(o);
}

/* A reader that another object was opened with before knows nothing of it. */
static void refused_is_closed(void)
{
	AUTO_BUF b = {0};
	const struct ws_place at = place(key, 0), wrong = place(key, 1);
	struct ws_open *o = ws_open_new(NULL);
	const struct ws_file from = {.fd = -1, .b = &b};
	unsigned char id[WS_ID_BYTES];
	struct ws_label l;
	struct sv part;

	sealed(&b, 10, &l, id);
	must(o && !ws_open_start(o, &at, &l, &from, NULL) &&
	     ws_open_start(o, &wrong, &l, &from, NULL));
	ok(ws_open_chunk(o, 0, &part, NULL) && !ws_open_bytes(o),
	   "what was refused has no chunks");
	ws_open_free(o);
}

int main(void)
{
	folder_new();
	key = key_from(9);
	bytes = pattern(5 * CH);
	sizes();
	pieces();
	ids();
	flips();
	cuts();
	moved();
	swapped();
	in_part();
	refused_is_closed();
	ws_key_free(key);
	mem_free(bytes);
	folder_end();
	return tap_done();
}
