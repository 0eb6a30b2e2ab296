console.log("hello from node", process.version);
console.log("6 * 7 =", 6 * 7);
