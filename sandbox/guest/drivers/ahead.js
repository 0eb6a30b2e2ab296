// ahead.js: what a Node.js that waits for its program does meanwhile (sandbox/guest/ahead.c).
//
// The first program that is loaded, and the first line that is written, cost 5 ms more than the second: modules of Node.js' own
// are compiled, functions are run for the first time. So modules are loaded here, and lines are written to nothing.
//
// Nothing of it may be seen by the program:
//
// - What Node.js keeps of the modules is taken away; of the ES module, where that cannot be done, its name is nobody's. They lie
//   where the program will, so that what is remembered of folders and their package.json is what its own start leaves.
// - Asynchronous resources are numbered: the number goes back to what it was, or where it is out of reach none is made. None
//   is left, and none is the kernel's: the socket has a handle of our own.
// - process.stdout and process.stderr, which are made, and their pipes changed, at their first use, are not touched. So
//   the colour mode is told: to find it out is one.
// - process.moduleLoadList names what was loaded. It is shortened again; what is loaded already it will not name later.
//
// Whoever throws here ends the cell, and its program runs on the cold path.
(() => {
	const builtin = process.getBuiltinModule;
	if (!builtin)			// before Node.js 20.16
		return;
	const list = process.moduleLoadList, known = list.length, { emitWarning, nextTick } = process;
	let fields, counter, last;

	process.emitWarning = () => {};	// that process.binding is deprecated
	try {
		({ async_id_fields: fields, constants: { kAsyncIdCounter: counter } } = process.binding("async_wrap"));
		last = fields[counter];
	} catch {			// since Node.js 24
		fields = null;
	}
	process.emitWarning = text => { throw new Error(text); };	// what is told once would be told here
	const fs = builtin("fs"), Module = builtin("module"), { Socket } = builtin("net");

	const ticks = [];
	const runTicks = () => {
		if (fields)
			process._tickCallback();
		else
			for (const [call, ...args] of ticks.splice(0))
				call(...args);
	};
	const write = () => {
		const handle = { getAsyncId: () => 0, close() {}, ref() {}, unref() {} };
		for (const name of ["writeUtf8String", "writeLatin1String", "writeBuffer", "writev"])
			handle[name] = () => 0;
		const stdout = new Socket({ handle, readable: false, writable: true });
		const { log } = new console.Console({ stdout, colorMode: false });
		const values = { a: [1, "b", null], c: new Map([[1, { d: 1 }]]) };
		for (const line of [["%s %d", "a", 1, values, new Error("e").stack], [1], ["a"]]) {
			log(...line);
			runTicks();
		}
	};
	const load = (file, text) => {
		fs.writeFileSync(file, text);
		Module._load(file, null, false);
		fs.unlinkSync(file);
		delete Module._cache[file];
		for (const key of Object.keys(Module._pathCache))
			delete Module._pathCache[key];
	};
	// From these on require() of an ES module gives no warning, once and for all.
	const [major, minor] = process.versions.node.split(".").map(Number);
	const takesModules = major === 20 && minor >= 19 || major === 22 && minor >= 13 || major >= 24;

	if (!fields)
		process.nextTick = (...call) => { ticks.push(call); };
	write();
	load(process.argv[1], '"use strict"; const a = 1;\n');
	if (takesModules)
		load(`${process.cwd()}/${Math.random()}.mjs`, 'import "node:string_decoder";\n');

	if (fields)
		fields[counter] = last;
	process.nextTick = nextTick;
	process.emitWarning = emitWarning;
	list.length = known;
})();
