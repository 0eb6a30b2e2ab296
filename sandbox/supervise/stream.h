/* stream.h: capturing one output stream; struct sup_stream is in supervise.h. */
#ifndef SANDBOX_SUPERVISE_STREAM_H
#define SANDBOX_SUPERVISE_STREAM_H

#include "sandbox/supervise/supervise.h"

void stream_init(struct sup_stream *s);
void stream_finish(struct sup_stream *s);
/* Never fails: what cannot be kept is counted. */
void stream_add(struct sup_stream *s, struct sv bytes);

#endif
