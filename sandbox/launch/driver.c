/* driver.c: the language drivers in this binary. */
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"

/* sandbox/guest/drivers/driver.*, by the Makefile */
extern const char driver_py[], driver_py_end[], driver_js[], driver_js_end[],
	driver_sh[], driver_sh_end[];

static const struct launch_driver drivers[] = {
	{"python", "driver.py", driver_py, driver_py_end},
	{"javascript", "driver.js", driver_js, driver_js_end},
	{"bash", "driver.sh", driver_sh, driver_sh_end},
};

const struct launch_driver *launch_driver(const char *runtime)
{
	for (unsigned i = 0; i < ARRAY_LEN(drivers); i++)
		if (!strcmp(drivers[i].runtime, runtime))
			return &drivers[i];
	return NULL;
}
