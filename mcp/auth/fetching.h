/* fetching.h: the records between the auth and the fetch role. Private to the room. */
#ifndef AUTH_FETCHING_H
#define AUTH_FETCHING_H

/* id: the auth role's number of the attempt, echoed. One at a time. */
enum fetch_type {
	FETCH_GO = 500,		/* auth -> fetch: get the keys */
	FETCH_GOT,		/* fetch -> auth: fd, a sealed memfd with the body */
	FETCH_FAILED,		/* sv: why, for the log */
};
#define FETCH_MS 10000		/* for one attempt, names not counted */

#endif
