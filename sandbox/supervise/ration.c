/* ration.c: how much of something may happen. */
#include "sandbox/supervise/keeper.h"

bool ration_take(struct ration *r)
{
	const uint64_t one = 1000000 / r->per_s, now = loop_now_us();

	r->left_us += r->at_us ? now - r->at_us : r->burst * one;
	r->at_us = now;
	if (r->left_us > r->burst * one)
		r->left_us = r->burst * one;
	if (r->left_us < one) {
		r->denied++;
		return false;
	}
	r->left_us -= one;
	r->denied = 0;
	return true;
}
