/* files.h: trees that hostile programs change while they are looked at.
 *
 * All functions take a descriptor of the tree's root (O_PATH does) and paths relative to it, of the
 * form of guest_path_ok. They stay beneath the root and on its file system, follow no symbolic link, open
 * nothing but regular files and folders, do not recurse, and try again only a few times where a
 * program races them. To be called by a process without privileges. */
#ifndef SANDBOX_GUEST_FILES_H
#define SANDBOX_GUEST_FILES_H

#include "sandbox/base/buf.h"
#include "sandbox/guest/guest.h"

#include <sys/stat.h>

/* Opens what is at path; a symbolic link only with O_PATH | O_NOFOLLOW. -1 with errno. */
int files_open(int root, const char *path, uint64_t flags);
/* Whether what starts like that is made executable, here and where a cell writes its program. */
static inline bool files_is_program(struct sv content)
{
	return sv_starts(content, SV("#!")) || sv_starts(content, SV("\177ELF"));
}
/* Writes a file, with its folders; what is there, but a folder, is replaced by a new file. -1 with errno. */
int files_unpack(int root, struct sv path, struct sv content);
/* The same from a memfd, whatever its read offset. */
int files_unpack_fd(int root, const char *name, int fd);
/* From now on what is made or deleted beneath root is noted at the end of the memfd log (O_APPEND), as of
 * guest_next_row; of what was deleted nlink is 0. */
void files_note_in(int root, int log);
/* Opens what is at path for reading, if it is a regular file. -1 with errno. */
int files_open_regular(int root, const char *path, struct stat *ret);
/* Appends the rows of what is beneath `top` ("": all), folders before what is in them: until there are max_rows, no
 * room is left in b, or it is until_us (CLOCK_MONOTONIC). True: there is more. */
bool files_list(int root, const char *top, struct buf *b, uint32_t max_rows,
		uint64_t until_us);
/* One operation of a session. Fills d; d->sys says how it went. */
void files_serve(int root, const struct guest_file *f, struct guest_file_done *d);

#endif
