import { html, type Part } from './markup.js';
import { heads, type Section, scrollingTable } from './page.js';

/**
 * The last section of every report: all that decides its numbers, so that somebody else can have them again.
 * @param facts what, and its value; left out where there is none
 * @param more what stands between the facts and the manifest
 */
export function whatWasRun(facts: readonly (readonly [string, Part | undefined])[], manifest: unknown, more: Part = ''): Section {
  return {
    id: 'run',
    name: 'What was run',
    title: 'What was run',
    body: html`${scrollingTable(
      'What was run',
      heads(['what', 'value']),
      facts.flatMap(([name, value]) =>
        value === undefined ? [] : [html`<tr><th scope="row">${name}</th><td>${value}</td></tr>\n`],
      ),
    )}
${more}<details><summary>Manifest</summary><pre>${JSON.stringify(manifest, null, 2)}</pre></details>`,
  };
}
