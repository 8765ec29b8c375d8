import { html, type Markup, type Part, trusted } from './markup.js';
import { STYLE } from './style.js';

export interface Section {
  id: string;
  /** Short name for the list of contents. */
  name: string;
  title: string;
  body: Part;
}

/** A captioned figure that is not torn apart in print; the caption says how to read it. */
export function captioned(caption: Part, body: Part): Markup {
  return html`<figure>
<figcaption>${caption}</figcaption>
${body}
</figure>`;
}

/** A table that scrolls sideways on a small screen, reachable by keyboard. */
export function scrollingTable(label: string, head: Part, rows: Part): Markup {
  return html`<div class="scroll" role="group" aria-label="${label}" tabindex="0"><table>
<thead><tr>${head}</tr></thead>
<tbody>${rows}</tbody>
</table></div>`;
}

/** The heads of a table's columns. */
export const heads = (names: readonly Part[]): Markup[] => names.map((name) => html`<th scope="col">${name}</th>`);

/** The whole document: one file, nothing fetched, nothing run. */
export function page(title: string, header: Part, sections: Section[]): string {
  const { source } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="moralscope">
<title>${title}</title>
<style>${trusted(STYLE)}</style>
</head>
<body>
<main>
<header>${header}
<nav aria-label="Contents"><ol>${sections.map((s) => html`<li><a href="#${s.id}">${s.name}</a></li>`)}</ol></nav>
</header>
${sections.map(
  (s) => html`<section id="${s.id}" aria-labelledby="${s.id}-title">
<h2 id="${s.id}-title">${s.title}</h2>
${s.body}
</section>
`,
)}</main>
</body>
</html>
`;
  return source;
}
