// Runs a handler on each event of a list. Standard input: {"module": path, "events": [...]}; the last line of standard
// output: the list of results, or of {"error": name} where the handler threw.
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

const { module, events } = JSON.parse(await text(process.stdin));
const { handler } = await import(pathToFileURL(module));
const results = [];
for (const event of events) {
  try {
    results.push((await handler(event)) ?? null);
  } catch (error) {
    results.push({ error: error.name, message: error.message });
  }
}
process.stdout.write(`${JSON.stringify(results)}\n`);
