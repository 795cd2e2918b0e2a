// Reads [[pattern, [path, ...]], ...] and writes [[whether it matches, ...], ...], both as JSON.
// Runs in the directory where picomatch is installed.
const { createRequire } = require('node:module');
const { readFileSync } = require('node:fs');

const picomatch = createRequire(`${process.cwd()}/`)('picomatch');
const questions = JSON.parse(readFileSync(0, 'utf8'));
const verdicts = questions.map(([pattern, paths]) => {
  const matches = picomatch(pattern, { strictSlashes: false });
  return paths.map((path) => matches(path));
});
process.stdout.write(JSON.stringify(verdicts));
