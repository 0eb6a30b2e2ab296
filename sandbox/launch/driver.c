/* driver.c: the language drivers in this binary, those of sessions and those of zygotes. */
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"

/* sandbox/guest/drivers, by the Makefile */
extern const char driver_py[], driver_py_end[], driver_js[], driver_js_end[],
	driver_sh[], driver_sh_end[], zygote_py[], zygote_py_end[], ahead_js[],
	ahead_js_end[];

static const struct launch_driver drivers[] = {
	{"python", "driver.py", driver_py, driver_py_end, false},
	{"javascript", "driver.js", driver_js, driver_js_end, false},
	{"bash", "driver.sh", driver_sh, driver_sh_end, false},
};

static const struct launch_driver zygotes[] = {
	{"python", "zygote.py", zygote_py, zygote_py_end, false},
	{"javascript", "ahead.js", ahead_js, ahead_js_end, true},
};

static const struct launch_driver *find(const struct launch_driver *list, size_t n,
					const char *runtime)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].runtime, runtime))
			return &list[i];
	return NULL;
}

const struct launch_driver *launch_driver(const char *runtime)
{
	return find(drivers, ARRAY_LEN(drivers), runtime);
}

const struct launch_driver *launch_zygote_driver(const char *runtime)
{
	const struct launch_driver *d = find(zygotes, ARRAY_LEN(zygotes), runtime);

	for (unsigned i = 0; d && i < pol_runtimes_count; i++) {
		const struct pol_runtime *rt = &pol_runtimes[i];

		if (!strcmp(rt->name, runtime))
			return strcmp(d->ahead ? rt->ahead : rt->zygote, d->file) ? NULL
										  : d;
	}
	return NULL;
}
