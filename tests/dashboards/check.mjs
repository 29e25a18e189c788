// Each dashboard as an object of the types that Grafana publishes (types.ts): a panel, option or field of no Grafana is an error.
//
//     npm ci --prefix tests/dashboards && node tests/dashboards/check.mjs
//
// Ends with 1 at what does not fit, with the dashboard and the line.

import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const here = dirname(fileURLToPath(import.meta.url));
const dashboards = join(here, "../../dashboards");
const names = readdirSync(dashboards).filter((name) => name.endsWith(".json"));

/** Code that is nowhere: each dashboard, on line 1 and after, as a literal, of which nothing unknown may be part. */
const texts = new Map(
  names.map((name) => {
    const board = readFileSync(join(dashboards, name), "utf8").trimEnd();
    return [join(here, `${name}.ts`), `export const board: import("./types").Board = ${board};\n`];
  }),
);

const options = {
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  target: ts.ScriptTarget.ES2022,
  noEmit: true,
  skipLibCheck: true,
  strict: true,
  types: [],
};
const host = ts.createCompilerHost(options);
const read = host.readFile.bind(host);
const exists = host.fileExists.bind(host);
host.readFile = (file) => texts.get(file) ?? read(file);
host.fileExists = (file) => texts.has(file) || exists(file);

const program = ts.createProgram([...texts.keys()], options, host);
const problems = ts.getPreEmitDiagnostics(program);
for (const problem of problems) {
  const place = problem.file && problem.file.getLineAndCharacterOfPosition(problem.start);
  const where = problem.file && problem.file.fileName.replace(`${here}/`, "").replace(/\.json\.ts$/, ".json");
  console.error(`${where}:${place && place.line + 1}: ${ts.flattenDiagnosticMessageText(problem.messageText, "\n").slice(0, 1500)}`);
}
console.log(`dashboards: ${names.length} read, ${problems.length} problems`);
process.exitCode = problems.length || names.length < 2 ? 1 : 0;
