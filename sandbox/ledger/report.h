/* report.h: what audit.c and verify.c print with. Private to the room.
 *
 * The database may have been written by anyone: nothing of it reaches a terminal but printable
 * ASCII, in the tables (log_esc) as in the JSON lines (\uXXXX). */
#ifndef LEDGER_REPORT_H
#define LEDGER_REPORT_H

#include "sandbox/base/err.h"
#include "sandbox/base/json.h"

#include <stdio.h>

#define LED_TIME_SIZE 32
/* "2026-07-28T12:34:56.123456Z"; without `fraction` to the second. Returns dst. */
const char *led_time(int64_t ts_us, bool fraction, char dst[LED_TIME_SIZE]);
/* Writes a JSON text as one line of ASCII; ill-formed UTF-8 becomes U+FFFD. */
void led_put_json(FILE *out, struct sv json);
/* The hash as hex digits. */
void led_khash(struct jw *w, const char *key, struct sv hash);
/* 0, or -1 when something could not be written to out. */
int led_flush(FILE *out, struct err *e);

#endif
