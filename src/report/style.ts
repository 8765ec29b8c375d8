/** The report's style sheet. Colours are Okabe and Ito's, told apart by the colour-blind, lightened for the dark page. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #fcfcfa; --ink: #1c1f22; --soft: #5a6066; --rule: #d9dbd6; --panel: #f4f4f0; --track: #e7e8e4;
  --null: #d3d5d1; --interval: rgb(0 114 178 / .24);
  --value: #0072b2; --second: #c04f00; --third: #00795a; --fourth: #9c4a7d; --fifth: #7a6200;
  --warm: #c04f00; --cool: #0f6fae; --on-strong: #fff;
  --good: #00694e; --notice: #fdf1cf; --notice-ink: #5d4300;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #15181b; --ink: #e7e7e2; --soft: #a3a9ae; --rule: #353a3f; --panel: #1d2125; --track: #2c3136;
    --null: #454b51; --interval: rgb(86 180 233 / .3);
    --value: #56b4e9; --second: #ff9a4d; --third: #2fc79c; --fourth: #e39cc6; --fifth: #d9c04a;
    --warm: #f28a3c; --cool: #56b4e9; --on-strong: #101214;
    --good: #47d3ab; --notice: #3a3011; --notice-ink: #f7dd93;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 80px; }
h1, h2 { font-family: ui-serif, Charter, "Iowan Old Style", "Palatino Linotype", Georgia, serif; line-height: 1.2; font-weight: 600; text-wrap: balance; }
h1 { font-size: clamp(1.7rem, 4.5vw, 2.5rem); margin: .1em 0 .2em; overflow-wrap: anywhere; }
h2 { font-size: 1.5rem; margin: 0 0 .4em; }
h3 { font-size: 1.05rem; margin: 1.6em 0 .3em; }
h4 { font-size: .82rem; font-weight: 600; margin: 0 0 .2em; }
p { margin: .5em 0; max-width: 46em; }
a { color: var(--value); }
section { border-top: 1px solid var(--rule); margin-top: 44px; padding-top: 28px; }
.eyebrow, .facts { color: var(--soft); font-size: .9rem; }
.summary { font-size: 1.2rem; line-height: 1.45; max-width: 40em; margin: .8em 0; }
.notice { background: var(--notice); color: var(--notice-ink); border-left: 4px solid currentColor; padding: .55em .9em; font-size: .95rem; }
nav ol { list-style: none; display: flex; flex-wrap: wrap; gap: .2em 1.1em; padding: 0; margin: 1.2em 0 0; font-size: .9rem; }
.how { color: var(--soft); }
.none { color: var(--soft); font-style: italic; font-size: .85rem; }
figure { margin: 1.6em 0; }
figcaption { max-width: 52em; margin-bottom: .7em; font-size: .92rem; color: var(--soft); }
figcaption b { color: var(--ink); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 290px), 1fr)); gap: 18px 16px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 18px 32px; align-items: start; }
.panel { min-width: 0; }
.pair > .panel { max-width: 560px; }
.narrow { max-width: 580px; }
.panel .legend { display: block; }
.against span { white-space: nowrap; }
.grid + .grid, .legend + .grid { margin-top: 18px; }
.plot { display: block; width: 100%; height: auto; overflow: visible; font-family: inherit; font-size: 10.5px; --plot-background: var(--page); }
.plot text { white-space: pre; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2em 1.3em; padding: 0; margin: .6em 0 0; font-size: .82rem; color: var(--soft); }
.swatch { width: 30px; height: 12px; vertical-align: -1px; fill: none; }
.ramp { display: inline-block; width: 96px; height: 10px; background: linear-gradient(to right, var(--cool), transparent, var(--warm)); border: 1px solid var(--rule); }
.verdicts { display: grid; gap: 0; margin: 0; padding: 0; list-style: none; }
.verdict { display: grid; grid-template-columns: 12.5em minmax(220px, 300px) 1fr; gap: 4px 26px; padding: 16px 0; border-top: 1px solid var(--rule); align-items: start; break-inside: avoid; }
.verdict:first-child { border-top: 0; }
.verdict h3 { margin: 0; }
.verdict p { margin: 0; }
.verdict .told { font-size: .94rem; line-height: 1.45; }
.verdict .how { font-size: .86rem; line-height: 1.35; }
.outcome { font-weight: 650; font-size: .92rem; white-space: nowrap; }
.verdict.set { grid-template-columns: 15em minmax(0, 1fr); }
.verdict.set h3 { overflow-wrap: anywhere; }
.verdict.set .plot { max-width: 640px; }
.apart .outcome { color: var(--good); }
.chance .outcome, .empty .outcome { color: var(--soft); }
.big { font-size: 1.75rem; line-height: 1.1; font-variant-numeric: tabular-nums; font-weight: 600; }
.big small { font-size: .9rem; font-weight: 400; color: var(--soft); }
.against { font-size: .84rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin: .8em 0; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .32em .9em .32em 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
thead th { font-size: .78rem; color: var(--soft); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 600; }
td small { color: var(--soft); white-space: nowrap; }
td.number { white-space: nowrap; }
td.number > span:first-child { display: inline-block; min-width: 2.6em; }
td.none { max-width: 22em; }
td.action { min-width: 16em; width: 100%; }
.bar { display: inline-block; position: relative; width: 72px; height: 9px; background: var(--track); margin-left: .5em; }
.bar i { position: absolute; top: 0; bottom: 0; background: var(--third); }
.bar.signed { background: linear-gradient(var(--soft), var(--soft)) center / 1px 100% no-repeat var(--track); }
.bar.signed i { background: var(--value); }
th.pole { min-width: 7.5em; }
th.measure { min-width: 11em; }
.feature { border-top: 1px solid var(--rule); padding-top: 16px; margin-top: 30px; break-inside: avoid; }
.feature h3 { margin: 0; font-size: 1.2rem; }
.feature h4 { margin-top: 1.1em; }
.feature .facts { margin: .15em 0 .8em; }
.tag { display: inline-block; border: 1px solid var(--rule); border-radius: 3px; padding: 0 .45em; margin: 0 .4em .2em 0; font-size: .8rem; color: var(--soft); }
.tag.strong { border-color: var(--good); color: var(--good); font-weight: 600; }
.chips { list-style: none; display: flex; flex-wrap: wrap; gap: .25em .4em; padding: 0; margin: .2em 0 .6em; font-size: .82rem; }
.chips li { background: var(--panel); border: 1px solid var(--rule); border-radius: 3px; padding: 0 .4em; overflow-wrap: anywhere; }
.chips code { white-space: pre-wrap; }
.tokens { white-space: pre-wrap; overflow-wrap: anywhere; }
.tokens mark { background: color-mix(in srgb, var(--warm) calc(var(--z) * 62%), transparent); color: inherit; border-radius: 2px; }
.tokens mark.most { text-decoration: underline 2px; text-underline-offset: 3px; font-weight: 650; }
code, pre { font: .85em/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; background: var(--panel); padding: 1em; margin: .6em 0; }
dl.glossary { display: grid; grid-template-columns: minmax(9em, 14em) 1fr; gap: .5em 1.6em; }
dl.glossary dt { font-weight: 600; }
dl.glossary dd { margin: 0; max-width: 46em; }
summary { cursor: pointer; }
@media (max-width: 760px) {
  main { padding: 20px 16px 60px; }
  .verdict, .verdict.set { grid-template-columns: 1fr; gap: 6px; }
  th.measure, th.pole { min-width: 0; }
  td.action { min-width: 9em; }
  .bar { display: none; }
  dl.glossary { grid-template-columns: 1fr; gap: .1em; }
  dl.glossary dd { margin-bottom: .7em; }
}
@media print {
  @page { margin: 14mm; }
  body { font-size: 9.5pt; line-height: 1.4; background: none; }
  main { max-width: none; padding: 0; }
  section { margin-top: 20px; padding-top: 14px; }
  .verdict { padding: 7px 0; }
  .summary { font-size: 1.1rem; }
  nav { display: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, .panel, tr { break-inside: avoid; }
  h2, h3, h4, figcaption { break-after: avoid; }
  .grid { grid-template-columns: repeat(3, 1fr); }
  .pair { grid-template-columns: repeat(2, 1fr); }
  .verdict { grid-template-columns: 11em 19em 1fr; gap: 2px 18px; }
  .scroll { overflow: visible; }
  a { color: inherit; text-decoration: none; }
}
`;
