/* files.h: trees that hostile programs change while they are looked at.
 *
 * All functions take a descriptor of the tree's root (O_PATH does) and paths relative to it, of the
 * form of guest_path_ok. They stay beneath the root and on its file system, follow no symbolic link, open
 * nothing but regular files and folders, do not recurse, and try again only a few times where a
 * program races them. To be called by a process without privileges. */
#ifndef SANDBOX_GUEST_FILES_H
#define SANDBOX_GUEST_FILES_H

#include "sandbox/guest/guest.h"

/* Opens what is at path; a symbolic link only with O_PATH | O_NOFOLLOW. -1 with errno. */
int files_open(int root, const char *path, uint64_t flags);
/* Writes a file, with its folders; what is there, but a folder, is replaced by a new file. Content
 * that starts like a program is made executable. -1 with errno. */
int files_unpack(int root, struct sv path, struct sv content);
/* The same from a memfd, whatever its read offset. */
int files_unpack_fd(int root, const char *name, int fd);
/* One operation of a session. Fills d; d->sys says how it went. */
void files_serve(int root, const struct guest_file *f, struct guest_file_done *d);

#endif
