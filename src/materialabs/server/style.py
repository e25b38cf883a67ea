"""How the pages look, in light and dark; nothing of it is fetched from anywhere."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --paper: #ffffff; --back: #f5f7f9;
  --lead: #0b6e6e; --tint: #e3f1f0; --bad: #a8321f; --radius: 10px; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --soft: #9aa6b5; --line: #2e3742;
  --paper: #1a2028; --back: #12171d; --lead: #5fc9c3; --tint: #173434; --bad: #ff9d8a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .25rem 2rem; align-items: baseline;
  padding: .9rem clamp(1rem, 4vw, 3rem); background: var(--paper);
  border-bottom: 1px solid var(--line); }
.brand { font-weight: 700; font-size: 1.15rem; letter-spacing: -.01em; color: var(--ink); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; }
header nav a { color: var(--soft); }
main { max-width: 80rem; margin: 0 auto; padding: 1.6rem clamp(1rem, 4vw, 3rem) 4rem; }
a { color: var(--lead); text-decoration: none; }
a:hover { text-decoration: underline; }
a:focus-visible, input:focus-visible, button:focus-visible { outline: 3px solid var(--lead);
  outline-offset: 2px; }
h1 { font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.2; margin: .2rem 0 .4rem;
  letter-spacing: -.02em; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem; }
p { margin: .4rem 0; }
.soft { color: var(--soft); }
.small { font-size: .875rem; }
sub { font-size: .72em; line-height: 0; }
code, .mono { font-family: ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", monospace;
  font-size: .875em; overflow-wrap: anywhere; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: var(--radius);
  padding: 1.1rem 1.3rem; }
form { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; }
input[type=search] { flex: 1 1 22rem; min-width: 0; padding: .7rem .9rem; color: var(--ink);
  background: var(--back); border: 1px solid var(--line); border-radius: var(--radius);
  font: .95rem ui-monospace, "DejaVu Sans Mono", monospace; }
button { padding: .7rem 1.3rem; border: 0; border-radius: var(--radius); background: var(--lead);
  color: var(--paper); font: inherit; font-weight: 600; cursor: pointer; }
label { display: flex; gap: .4rem; align-items: center; color: var(--soft); font-size: .9rem; }
.chips { display: flex; flex-wrap: wrap; gap: .45rem; margin-top: .8rem; }
.chips a { background: var(--tint); border-radius: 99px; padding: .2rem .75rem; font-size: .8rem; }
.wide { overflow-x: auto; background: var(--paper); border: 1px solid var(--line);
  border-radius: var(--radius); }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .5rem .75rem; vertical-align: baseline; }
td { white-space: nowrap; }
td.text { white-space: normal; min-width: 7rem; }
th { color: var(--soft); font-weight: 600; font-size: .8rem; border-bottom: 1px solid var(--line); }
th a { color: inherit; }
tbody tr + tr td { border-top: 1px solid var(--line); }
tbody tr:hover td { background: var(--tint); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.pages { margin: .9rem 0; }
.card > :first-child { margin-top: 0; }
.card > :last-child { margin-bottom: 0; }
.split { display: grid; grid-template-columns: minmax(0, 22rem) minmax(0, 1fr); gap: 1.3rem; }
@media (max-width: 48rem) { .split { grid-template-columns: minmax(0, 1fr); } }
.picture { display: flex; align-items: center; justify-content: center; }
.picture svg { width: 100%; height: auto; max-height: 24rem; }
.cell { stroke: var(--soft); stroke-width: 1.2; fill: none; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .9rem 1.4rem;
  margin: 0; }
dt { color: var(--soft); font-size: .8rem; }
dd { margin: 0; overflow-wrap: anywhere; }
dl + .legend, .key { margin-top: .9rem; }
.badge { background: var(--tint); color: var(--lead); border-radius: 99px; padding: .08rem .55rem;
  font-size: .75rem; font-weight: 600; white-space: nowrap; }
.bad { color: var(--bad); }
.proof + .proof { margin-top: .8rem; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem .9rem; margin-top: .6rem; font-size: .85rem; }
.dot { display: inline-block; width: .75rem; height: .75rem; border-radius: 50%;
  margin-right: .35rem; vertical-align: -.05rem; border: 1px solid var(--line); }
"""
"""CSS of every page."""
