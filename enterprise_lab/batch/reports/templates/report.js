"use strict";
const byId = (id) => document.getElementById(id);
const make = (kind, text, className) => {
  const element = document.createElement(kind);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};
const table = byId("results-table");
const body = table.tBodies[0];
const rows = Array.from(body.rows);
const cards = new Map(Array.from(document.querySelectorAll(".gallery li"), (card) => [card.dataset.run, card]));

// Sorting: by number where both are, else as people count; what is empty comes last.
const headers = Array.from(table.tHead.rows[0].cells);
const collator = new Intl.Collator("en", { numeric: true });
const key = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
const compare = (a, b) => {
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? collator.compare(a, b) : x - y;
};
headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => {
  const rising = header.getAttribute("aria-sort") !== "ascending";
  headers.forEach((other) => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", rising ? "ascending" : "descending");
  body.append(...Array.from(body.rows, (row) => [key(row, column), row])
    .sort(([a], [b]) => (a === "") - (b === "") || (rising ? compare(a, b) : compare(b, a)))
    .map(([, row]) => row));
}));

// Filtering: every word somewhere in the row, one of the states, the parameters' values.
const filters = byId("filters");
const texts = new Map(rows.map((row) => [row, `${row.textContent} ${row.dataset.error}`.toLowerCase()]));
const filter = () => {
  const words = byId("words").value.toLowerCase().split(/\s+/).filter(Boolean);
  const states = Array.from(filters.querySelectorAll("[name=state]:checked"), (box) => box.value);
  const chosen = Array.from(filters.querySelectorAll("select")).filter((select) => select.value);
  let shown = 0;
  for (const row of rows) {
    const fits = words.every((word) => texts.get(row).includes(word))
      && (states.length === 0 || states.includes(row.dataset.state))
      && chosen.every((select) => row.cells[select.dataset.column].textContent.trim() === select.selectedOptions[0].textContent);
    row.hidden = !fits;
    if (cards.has(row.dataset.run)) cards.get(row.dataset.run).hidden = !fits;
    shown += fits;
  }
  byId("shown").textContent = `${shown} of ${rows.length} runs`;
};
filters.addEventListener("input", filter);
filters.addEventListener("submit", (event) => event.preventDefault());

// A run's own view: #run=ID.
const dialog = byId("run");
const section = (about, title, ...content) => {
  about.append(make("h3", title), ...content);
};
const tableOf = (lines, heads) => {
  const made = make("table");
  if (heads) {
    const row = made.createTHead().insertRow();
    heads.forEach((head) => row.append(make("th", head)));
  }
  const rowsOf = made.createTBody();
  for (const line of lines) {
    const row = rowsOf.insertRow();
    line.forEach((cell) => row.insertCell().append(cell));
  }
  return made;
};
const timeline = (steps) => {
  const bar = make("div", undefined, "time");
  bar.setAttribute("aria-hidden", "true");
  for (const [name, seconds, text] of steps) {
    const part = make("span", undefined, name.startsWith("cell") ? "" : "kernel");
    part.style.flexGrow = seconds;
    part.title = `${name}: ${text}`;
    bar.append(part);
  }
  const longest = steps.toSorted((a, b) => b[1] - a[1]).slice(0, 5);
  return [bar, tableOf(longest.map(([name, , text]) => [name, text]))];
};
const describe = (run) => {
  const about = byId("run-about");
  about.replaceChildren();
  if (run.error) section(about, "What went wrong", make("p", run.error));
  if (run.cell) section(about, "The cell", make("pre", run.cell));
  if (run.traceback) section(about, "Its traceback", make("pre", run.traceback));
  const figures = run.figures.map(([metric, text, origin, interval, source, doubt]) => {
    const figure = make("span", `${text} `);
    figure.append(make("span", origin, `origin ${origin}`));
    if (doubt) figure.append(make("span", "doubtful", "doubt"));
    if (interval) figure.append(make("span", interval, "interval"));
    for (const more of [source, doubt]) if (more) figure.append(make("span", more, "interval"));
    return [metric, figure];
  });
  section(about, "Parameters", tableOf(run.parameters));
  if (figures.length) section(about, "Figures", tableOf(figures));
  if (run.steps.length) section(about, "Where its time went", ...timeline(run.steps));
  if (run.marks.length) {
    const list = make("ul");
    run.marks.forEach((mark) => list.append(make("li", mark)));
    about.append(list);
  }
  if (run.attempts.length) {
    const lines = run.attempts.map(([number, state, ...rest]) =>
      [number, make("span", state.replaceAll("_", " "), `state ${state}`), rest.filter(Boolean).join("; ")]);
    section(about, "Attempts", tableOf(lines));
  }
  if (run.log) section(about, "End of its log", make("pre", run.log));
  if (run.provenance.length) section(about, "Made with", tableOf(run.provenance));
  if (run.place) section(about, "Its files", make("p", `${byId("place").textContent}: ${run.place.slice(0, run.place.lastIndexOf("/"))}`));
  about.scrollTop = 0;
};
const inflate = async (text) => {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};
const showNotebook = async (id, run) => {
  const place = byId("run-notebook");
  const kept = byId(`notebook-${id}`);
  if (!kept) {
    place.replaceChildren(make("p", run.is_too_much
      ? `This notebook is not on this page, which would be too large: it is ${run.place} in ${byId("place").textContent}.`
      : "This run left no notebook.", "soft"));
    return;
  }
  const frame = make("iframe");
  frame.title = `Executed notebook: ${run.name}`;
  frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
  const [page, cells] = await Promise.all([inflate(byId("frame").textContent), inflate(kept.textContent)]);
  const shown = run.state === "succeeded" ? page : page.replace('id="show-code"', 'checked id="show-code"');
  frame.srcdoc = shown.replace(byId("frame").dataset.marker, () => cells);
  if (open === id) place.replaceChildren(frame);
};
let open = "";
const neighbours = (id) => {
  const shown = Array.from(body.rows).filter((row) => !row.hidden).map((row) => row.dataset.run);
  const at = shown.indexOf(id);
  return [shown[at - 1], at < 0 ? undefined : shown[at + 1]];
};
const route = () => {
  const id = location.hash.startsWith("#run=") ? decodeURIComponent(location.hash.slice(5)) : "";
  const kept = id && byId(`run-${id}`);
  if (!kept) {
    if (dialog.open) dialog.close();
    return;
  }
  const run = JSON.parse(kept.textContent);
  open = id;
  byId("run-name").textContent = run.name;
  byId("run-state").textContent = run.state.replaceAll("_", " ");
  byId("run-state").className = `state ${run.state}`;
  [byId("previous").value, byId("next").value] = neighbours(id).map((one) => one ?? "");
  for (const name of ["previous", "next"]) byId(name).disabled = !byId(name).value;
  describe(run);
  showNotebook(id, run);
  if (!dialog.open) dialog.showModal();
  if (!dialog.contains(document.activeElement) || document.activeElement.disabled) byId("close").focus();
  dialog.scrollTop = 0;
};
for (const name of ["previous", "next"]) {
  byId(name).addEventListener("click", (event) => location.replace(`#run=${event.currentTarget.value}`));
}
byId("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  open = "";
  byId("run-notebook").replaceChildren();
  if (location.hash.startsWith("#run=")) history.replaceState(null, "", "#results");
});
window.addEventListener("hashchange", route);
// The notebooks stand behind this script, so that the page is of use before all of it is here.
document.addEventListener("DOMContentLoaded", () => { filter(); route(); });
