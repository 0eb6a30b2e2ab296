/* t_transfer.c: whole files in pieces: none is taken for whole that is not, and nothing stays open. */
#include "tests/unit/tools/fake.h"

#include <signal.h>
#include <sodium.h>
#include <sys/mman.h>

/* SHA-256 of "abc" and of nothing, FIPS 180-2 */
#define SHA_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct transfer_file got;
static char mime[64];
static struct err failure;
static unsigned dones, rooms;
static struct transfer *freed_within; /* by the callback, as a mover may */

static void on_done(void *arg, const struct transfer_file *f, const struct err *e)
{
	(void)arg;
	dones++;
	failure = e ? *e : (struct err){0};
	if (f) {
		got = *f;
		snprintf(mime, sizeof(mime), "%s", f->mime ? f->mime : "");
	}
	transfer_free(freed_within);
	freed_within = NULL;
}

static void on_room(void *arg)
{
	(void)arg;
	rooms++;
}

static const char *place = SES_ID;

static struct transfer *begin(struct keeper *k, enum transfer_kind kind,
			      const char *path, uint64_t length)
{
	struct transfer_opts o = {.env = {.loop = &k->loop,
					  .client = k->client,
					  .runs = k->runs,
					  .credential = SV("cred"),
					  .principal = SV("me")},
				  .id = sv_of(place),
				  .path = sv_of(path),
				  .length = length,
				  .on_done = on_done,
				  .on_room = on_room};

	dones = rooms = 0;
	failure = (struct err){0};
	return transfer_new(kind, &o, &failure);
}

static void answer(enum err_code code, int sys)
{
	struct sup_ask q = fake.question;
	struct err e = {0};

	fake.question.kind = FAKE_NOTHING;
	err_set(&e, code, "no");
	e.sys = sys;
	q.on_file(q.arg, NULL, &e);
}

/* A write that flows; the read end of its pipe. */
static struct transfer *flowing(struct keeper *k, uint64_t length, int *ret_pipe)
{
	struct transfer *t = begin(k, TRANSFER_WRITE, "a/b", length);

	must(t && fake.question.file.op == SUP_FILE_LIST);
	answer(ERR_NOT_FOUND, ENOENT);
	must(fake.question.kind == FAKE_FILE &&
	     fake.question.file.op == SUP_FILE_WRITE);
	*ret_pipe = fake.question.file.data_fd;
	keeper_turn(k);
	must(rooms == 1);
	return t;
}

static bool at_end(int fd)
{
	char c;

	return read(fd, &c, 1) == 0;
}

static void test_write(struct keeper *k)
{
	struct transfer *t;
	AUTO_FD pipe = -1;
	char bytes[8];

	t = flowing(k, 3, &pipe);
	ok(fake.question.file.min_bytes == 3 && fake.question.file.max_bytes == 3 &&
		   !strcmp(fake.question.path, "a/b") &&
		   !strcmp(fake.question.id, SES_ID) &&
		   !strcmp(fake.question.credential, "cred"),
	   "the keeper is told how many bytes there must be");
	ok(transfer_put(t, SV("ab")) == 2 && transfer_put(t, SV("c")) == 1 &&
		   read(pipe, bytes, sizeof(bytes)) == 3 && !memcmp(bytes, "abc", 3),
	   "they go through the pipe");
	transfer_put_end(t);
	ok(at_end(pipe) && !dones, "to its end");
	freed_within = t;
	fake_file(&(struct sup_file_done){.size = 3, .fd = -1});
	ok(dones == 1 && got.created && got.size == 3 && !strcmp(got.sha256, SHA_ABC) &&
		   !strcmp(mime, "text/plain"),
	   "and are told what they were");
	fd_close(&pipe);
	t = flowing(k, TRANSFER_UNKNOWN, &pipe);
	ok(!fake.question.file.min_bytes &&
		   fake.question.file.max_bytes == TRANSFER_MAX_BYTES,
	   "of unknown length up to the most");
	transfer_put_end(t);
	fake_file(&(struct sup_file_done){.fd = -1});
	ok(!strcmp(got.sha256, SHA_EMPTY) && at_end(pipe), "also none");
	transfer_free(t);
	ok(!fake.stopped, "nothing had to be stopped");
	fd_close(&pipe);
	t = begin(k, TRANSFER_WRITE, "a/b", 0);
	fake_file(&(struct sup_file_done){.size = 5, .fd = -1});
	pipe = fake.question.file.data_fd;
	transfer_put_end(t);
	freed_within = t;
	fake_file(&(struct sup_file_done){.fd = -1});
	ok(dones == 1 && !failure.code && !got.created, "what was there is replaced");
}

static void test_backpressure(struct keeper *k)
{
	char hex[2 * crypto_hash_sha256_BYTES + 1];
	unsigned char sha[crypto_hash_sha256_BYTES];
	static char block[1 << 20];
	size_t taken, more = 0;
	struct transfer *t;
	AUTO_FD pipe = -1;

	t = flowing(k, sizeof(block), &pipe);
	taken = transfer_put(t, (struct sv){block, sizeof(block)});
	ok(taken > 0 && taken < sizeof(block), "a pipe takes so much");
	keeper_turn(k);
	ok(rooms == 1 && !transfer_put(t, SV("x")), "and no more");
	while (more < taken) {
		char part[65536];
		ssize_t n = read(pipe, part, sizeof(part));

		must(n > 0);
		more += (size_t)n;
	}
	keeper_turn(k);
	ok(rooms == 2 && transfer_put(t, SV("x")) == 1, "until it is read");
	keeper_turn(k);
	ok(rooms == 2, "nobody is told who has not been turned away");
	must(read(pipe, block, 1) == 1);
	transfer_put_end(t);
	freed_within = t;
	fake_file(&(struct sup_file_done){.size = taken + 1, .fd = -1});
	memset(block, 0, taken);
	block[taken] = 'x';
	crypto_hash_sha256(sha, (const unsigned char *)block, taken + 1);
	sodium_bin2hex(hex, sizeof(hex), sha, sizeof(sha));
	ok(dones == 1 && got.size == taken + 1 && !strcmp(got.sha256, hex),
	   "the hash is of what was taken, not of what was offered");
}

/* The end of the pipe is the end of the content: so it must not come. */
static void test_given_up(struct keeper *k)
{
	struct transfer *t;
	AUTO_FD pipe = -1;
	char bytes[8];

	fake.stopped = 0;
	t = flowing(k, TRANSFER_UNKNOWN, &pipe);
	transfer_put(t, SV("abc"));
	transfer_free(t);
	must(read(pipe, bytes, sizeof(bytes)) == 3 && !fd_set_nonblock(pipe));
	ok(fake.stopped == 1 && fake.held_fd >= 0 && read(pipe, bytes, 1) < 0,
	   "one of unknown length is stopped before its pipe ends");
	fd_close(&fake.held_fd);
	ok(at_end(pipe), "nobody else has it");
	fd_close(&pipe);
	t = flowing(k, 5, &pipe);
	transfer_put(t, SV("abc"));
	transfer_free(t);
	must(read(pipe, bytes, sizeof(bytes)) == 3);
	ok(fake.stopped == 2 && fake.held_fd == -1 && at_end(pipe),
	   "where the length was told the keeper sees that it is not whole");
	fd_close(&pipe);
	t = flowing(k, TRANSFER_UNKNOWN, &pipe);
	transfer_put_end(t);
	transfer_free(t);
	ok(fake.stopped == 2 && fake.question.kind == FAKE_NOTHING,
	   "one that was said whole is let end");
	t = begin(k, TRANSFER_WRITE, "x", 1);
	transfer_free(t);
	ok(fake.stopped == 3, "one that has not begun does not");
}

static void test_refused(struct keeper *k)
{
	struct transfer *t;
	AUTO_FD pipe = -1;

	t = flowing(k, 1 << 20, &pipe);
	fd_close(&pipe);
	keeper_turn(k);
	ok(!transfer_put(t, SV("x")) && rooms == 1 && !dones,
	   "a workspace that reads no more says why itself");
	freed_within = t;
	answer(ERR_LIMIT, ENOSPC);
	ok(dones == 1 && failure.code == ERR_LIMIT && failure.sys == ENOSPC,
	   "in its answer");
	t = flowing(k, 3, &pipe);
	fake_file(&(struct sup_file_done){.size = 3, .fd = -1});
	ok(dones == 1 && failure.code == ERR_UNAVAILABLE,
	   "one that says it has what it was not given is not believed");
	transfer_free(t);
	t = begin(k, TRANSFER_WRITE, "x", 1);
	freed_within = t;
	fake_file(&(struct sup_file_done){.is_dir = true, .fd = memfd_create("l", 0)});
	ok(dones == 1 && failure.sys == EISDIR, "a folder is refused at once");
	t = begin(k, TRANSFER_WRITE, "x", 1);
	freed_within = t;
	answer(ERR_NOT_FOUND, 0);
	ok(dones == 1 && failure.code == ERR_NOT_FOUND, "so is a session of nobody's");
	t = begin(k, TRANSFER_WRITE, "x", 1);
	answer(ERR_DENIED, ELOOP);
	ok(!dones && fake.question.file.op == SUP_FILE_WRITE,
	   "all else the write decides");
	fd_close(&fake.question.file.data_fd);
	transfer_free(t);
}

static void test_read(struct keeper *k)
{
	struct transfer *t = begin(k, TRANSFER_READ, "a/b", 0);
	int fd = memfd_create("file", MFD_CLOEXEC);
	char bytes[16];

	must(fd >= 0 && !fd_write_all(fd, "%PDF-1.7", 8));
	fake_file(&(struct sup_file_done){.size = 8, .fd = fd});
	ok(dones == 1 && got.size == 8 && !strcmp(mime, "application/pdf") &&
		   !got.sha256[0],
	   "a file is opened, and what it is is told");
	ok(transfer_get(t, 5, bytes, sizeof(bytes)) == 3 && !memcmp(bytes, "1.7", 3),
	   "and read from anywhere");
	must(!ftruncate(fd, 6));
	ok(transfer_get(t, 0, bytes, 8) == 6 && !transfer_get(t, 6, bytes, 2),
	   "as much of it as there is");
	ok(transfer_is_in(t, SV(SES_ID)) && !transfer_is_in(t, SV("ses_")),
	   "in which session is known");
	transfer_free(t);
	ok(fcntl(fd, F_GETFD) < 0, "it is closed with it");
	t = begin(k, TRANSFER_DELETE, "a", 0);
	fake_file(&(struct sup_file_done){.is_dir = true, .fd = -1});
	ok(fake.question.file.op == SUP_FILE_DELETE && got.is_dir, "and deleted");
	transfer_free(t);
	fake.withdrawn = 0;
	transfer_free(begin(k, TRANSFER_READ, "a", 0));
	ok(fake.withdrawn == 1,
	   "nobody waits for an answer to a transfer that is gone");
}

static void test_names(struct keeper *k)
{
	static const char *const bad[] = {"",	"/a",	"a/",	"a//b", ".",
					  "..", "a/..", "\xff", "a/./b"};
	const unsigned asked = fake.asked;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		ok(!begin(k, TRANSFER_READ, bad[i], 0) && failure.code == ERR_INVALID,
		   "\"%s\" is no path", i == 7 ? "not UTF-8" : bad[i]);
	ok(fake.asked == asked, "the keeper was not asked");
}

static void test_run(struct keeper *k)
{
	const unsigned asked = fake.asked;

	place = RUN_ID;
	ok(!begin(k, TRANSFER_WRITE, "a", 1) && failure.code == ERR_DENIED,
	   "nothing is written into what a run has left");
	ok(!begin(k, TRANSFER_READ, "a", 0) && failure.code == ERR_NOT_FOUND,
	   "nor read where there is no such run");
	ok(fake.asked == asked, "the keeper was not asked");
	place = SES_ID;
}

int main(void)
{
	struct keeper k;

	signal(SIGPIPE, SIG_IGN);
	fake_init(&k);
	test_write(&k);
	test_backpressure(&k);
	test_given_up(&k);
	test_refused(&k);
	test_read(&k);
	test_names(&k);
	test_run(&k);
	fake_finish(&k);
	return tap_done();
}
