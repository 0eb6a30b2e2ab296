/* records.h: the ledger's half of the records: decoders, and the text a record becomes. Private to
 * the room.
 *
 * A decoder accepts exactly what the encoders of ledger.h make: every byte consumed, every string
 * within its limit, run ids of [A-Za-z0-9_-], names in well-formed UTF-8 without control
 * characters. -1 means the keeper is broken or taken over: fatal for the connection. */
#ifndef LEDGER_RECORDS_H
#define LEDGER_RECORDS_H

#include "sandbox/base/buf.h"
#include "sandbox/ledger/ledger.h"

#define LED_MAX_RUN_ID 64
#define LED_MAX_PRINCIPAL 256
#define LED_MAX_NAME 64		/* tool, runtime, status, kind */
#define LED_MAX_DETAIL 1024	/* longer ones are cut by the encoder */
#define LED_MAX_BODY 8192	/* JSON; a detail of control bytes grows sixfold */

/* Views are borrowed from m. */
int led_get_intent(struct ipc_msg *m, struct led_intent *ret, struct err *e);
int led_get_outcome(struct ipc_msg *m, struct led_outcome *ret, struct err *e);
int led_get_event(struct ipc_msg *m, struct led_event *ret, struct err *e);
int led_get_session(struct ipc_msg *m, struct led_session *ret, struct err *e);
int led_get_session_end(struct ipc_msg *m, struct led_session_end *ret, struct err *e);

/* As led_get_wrapped, with or without bytes and with or without an epoch, as the record's type has it. */
int led_take_wrapped(struct ipc_msg *m, struct led_wrapped *ret, struct err *e);

/* hash is borrowed from m. */
int led_get_key_find(struct ipc_msg *m, struct sv *ret_id, struct sv *ret_hash,
		     struct err *e);
void led_put_key_found(struct ipc_msg *m, const struct led_key_found *r);

/* The body of a row: one compact JSON object. */
void led_body_intent(struct buf *b, const struct led_intent *r);
void led_body_outcome(struct buf *b, const struct led_outcome *r);
void led_body_event(struct buf *b, const struct led_event *r);
void led_body_session(struct buf *b, const struct led_session *r);
void led_body_session_end(struct buf *b, const struct led_session_end *r);

#endif
