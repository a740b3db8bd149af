// The search page. Texts of documents only ever become text nodes, so no document can bring markup or script.
"use strict";

const $ = (id) => document.getElementById(id);
const PAGE = 10;

/** Makes an element; strings become text, never markup. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// ---- what is asked -------------------------------------------------------------------------------------------

const state = { chips: [], filter: null, offset: 0, asked: null, answer: null };

/** `lang=en`, `year>=2001`, `open=true`, `author` (exists) as a filter; null for nothing. */
function condition(text) {
  const match = text.trim().match(/^([^=<>]+?)\s*(>=|<=|=|>|<)\s*(.*)$/u);
  if (!match) return text.trim() ? { exists: text.trim() } : null;
  const [, field, operator, written] = match;
  const value = literal(written);
  if (operator === "=") return { eq: { [field]: value } };
  const bound = { ">=": "gte", ">": "gt", "<=": "lte", "<": "lt" }[operator];
  return { range: { [field]: { [bound]: value } } };
}

function literal(text) {
  if (text === "true" || text === "false") return text === "true";
  const quoted = text.match(/^"(.*)"$/u);
  if (quoted) return quoted[1];
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

function filter() {
  const all = state.chips.map(condition);
  if (state.filter) all.push(state.filter);
  return all.length > 1 ? { and: all } : all[0];
}

function request() {
  const asked = {
    query: $("query").value,
    mode: document.querySelector("input[name=mode]:checked").value,
    limit: PAGE,
    offset: state.offset,
    explain: true,
  };
  if (filter()) asked.filter = filter();
  if ($("rerank").checked) asked.rerank = {};
  // Further pages have the answer of the first.
  if ($("answer").checked && state.offset === 0) asked.answer = {};
  return asked;
}

let running = null;

async function search(offset = 0) {
  if (!$("query").value.trim()) return;
  state.offset = offset;
  running?.abort();
  const mine = (running = new AbortController());
  remember();
  try {
    const response = await fetch("/v1/search", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(request()),
      signal: mine.signal,
    });
    const answer = await response.json();
    if (mine.signal.aborted) return;
    if (response.ok) show(answer);
    else complain(answer.title, answer.detail);
  } catch (error) {
    if (error.name !== "AbortError") complain("No answer", String(error.message || error));
  }
}

/** Keeps the question in the address, so that it can be linked and reloaded. */
function remember() {
  const asked = request();
  const parameters = new URLSearchParams({ q: asked.query, mode: asked.mode });
  for (const chip of state.chips) parameters.append("where", chip);
  if (state.filter) parameters.set("filter", JSON.stringify(state.filter));
  if (asked.rerank) parameters.set("rerank", "1");
  if ($("answer").checked) parameters.set("answer", "1");
  history.replaceState(null, "", `?${parameters}`);
}

function recall() {
  const parameters = new URLSearchParams(location.search);
  $("query").value = parameters.get("q") ?? "";
  for (const radio of document.querySelectorAll("input[name=mode]")) {
    if (radio.value === parameters.get("mode")) radio.checked = true;
  }
  $("rerank").checked = parameters.has("rerank");
  $("answer").checked = parameters.has("answer");
  state.chips = parameters.getAll("where").filter(condition);
  if (parameters.has("filter")) {
    $("filter").value = parameters.get("filter");
    applyJson();
  }
  showChips();
}

// ---- what is answered ----------------------------------------------------------------------------------------

function complain(title, detail) {
  $("problem").replaceChildren(el("strong", {}, title), el("div", {}, detail ?? ""));
  $("problem").hidden = false;
  $("status").hidden = true;
  $("answered").hidden = true;
  $("hits").replaceChildren();
  $("more").hidden = true;
}

function show(answer) {
  $("problem").hidden = true;
  $("status").hidden = false;
  summarise(answer);
  if (state.offset === 0) {
    $("hits").replaceChildren();
    showAnswer(answer.answer ?? null);
    state.best = answer.hits[0]?.score ?? 0;
  }
  $("hits").append(...answer.hits.map(hitElement));
  const shown = state.offset + answer.hits.length;
  $("more").hidden = shown >= answer.total_candidates || answer.hits.length === 0;
}

function summarise(answer) {
  const { timings_ms: times, total_candidates: total } = answer;
  const found = total === 0 ? "Nothing found" : `${total} candidate${total === 1 ? "" : "s"}`;
  $("summary").replaceChildren(`${found} · ${answer.stage} · ${milliseconds(times.total)}`);
  if (answer.degraded) $("summary").append(" · ", el("span", { class: "degraded" }, answer.degraded));
  const stages = Object.entries(times).filter(([name, time]) => name !== "total" && time >= 0.005);
  const bar = el("div", { class: "bar", "aria-hidden": "true" });
  for (const [name, time] of stages) {
    const part = el("i", { class: `stage-${name}` });
    part.style.flexGrow = time;
    bar.append(part);
  }
  const list = stages.map(([name, time]) => el("li", {}, `${name} ${milliseconds(time)}`));
  $("stages").replaceChildren(bar, el("ul", {}, ...list));
}

/** The answer above the hits, or that there is none; nothing when none was asked for. */
function showAnswer(answered) {
  state.answer = answered?.best ?? null;
  $("answered").hidden = answered === null;
  if (answered === null) return $("answered").replaceChildren();
  const { best, margin, threshold, passages_read: count, passages } = answered;
  const read = `${count} passage${count === 1 ? "" : "s"}`;
  const list = el("ol", {}, ...(passages ?? []).map((one) =>
    el("li", {}, el("code", {}, one.margin === null ? "–" : one.margin.toFixed(2)), ` ${one.text} `,
      el("small", {}, `${one.document}, passage ${one.chunk + 1}`))));
  const details = count === 0 ? null : el("details", {}, el("summary", {}, `${read} read`), list);
  if (best === null) {
    const why = margin === null ? "" : `The best margin, ${margin.toFixed(2)}, is not above ${threshold.toFixed(2)}.`;
    $("answered").replaceChildren(el("p", { class: "none" }, `No answer in the ${read} read`), el("p", { class: "where" }, why));
  } else {
    const jump = el("button", { type: "button", class: "jump", onclick: () => jumpTo(best.rank) }, `hit ${best.rank}`);
    $("answered").replaceChildren(
      el("p", { class: "words" }, best.text),
      el("p", { class: "text" }, ...context(best)),
      el("p", { class: "where" }, jump, ` ${best.title || best.document} · passage ${best.chunk + 1} · margin ${margin.toFixed(2)} above ${threshold.toFixed(2)}`));
  }
  if (details) $("answered").append(details);
}

/** The words in the passage, with some characters before and after them. */
function context({ passage, span: [start, end] }) {
  const bytes = new TextEncoder().encode(passage);
  const cut = (from, to) => [...new TextDecoder().decode(bytes.subarray(from, to))];
  const [before, after, most] = [cut(0, start), cut(end, bytes.length), 160];
  const head = before.length > most ? `… ${before.slice(-most).join("").replace(/^\S*\s/u, "")}` : before.join("");
  const tail = after.length > most ? `${after.slice(0, most).join("").replace(/\s\S*$/u, "")} …` : after.join("");
  return [head, el("mark", { class: "answer" }, cut(start, end).join("")), tail];
}

/** Goes to a hit, bringing further pages until it is there, and opens it. */
async function jumpTo(rank) {
  const mine = state.answer;
  while ($("hits").children.length < rank && !$("more").hidden && state.answer === mine) await search(state.offset + PAGE);
  const hit = $("hits").children[rank - 1];
  if (!hit || state.answer !== mine) return;
  open(hit, true);
  hit.focus();
}

/** What is marked in the passage of a hit: the terms and, where it is the answer's, the words that answer. */
function marked(hit) {
  const { answer } = state;
  const terms = hit.highlights.text;
  if (!answer || answer.document !== hit.document || answer.chunk !== hit.chunk) return [terms, hit.best_sentence];
  const [start, end] = answer.span;
  const apart = ([from, to]) => to <= start || from >= end;
  const marks = [...terms.filter(apart), [start, end, "answer"]].sort(([a], [b]) => a - b);
  const [first, last] = hit.best_sentence ?? [0, 0];
  const isCut = [first, last].some((bound) => start < bound && bound < end);
  return [marks, isCut ? null : hit.best_sentence];
}

function milliseconds(time) {
  return `${time < 10 ? time.toFixed(2) : time.toFixed(0)} ms`;
}

function hitElement(hit) {
  const title = hit.title || hit.document;
  const marks = hit.title ? hit.highlights.title : [];
  const item = el("li", { class: "hit", tabindex: "-1", "data-document": hit.document });
  const panel = hit.explain ? explanation(hit) : null;
  const toggle = () => open(item, !item.classList.contains("open"));
  const why = el("button", { type: "button", class: "why", "aria-expanded": "false", onclick: toggle }, "why?");
  item.append(
    el("div", { class: "head" },
      el("span", { class: "rank" }, String(hit.rank)),
      el("h2", {}, ...pieces(title, marks, null)),
      el("span", { class: "score", title: `score of ${hit.stage}` }, hit.score.toFixed(3))),
    el("p", { class: "where" }, where(hit)),
    el("div", { class: "text" }, ...snippet(hit)),
    el("div", { class: "foot" }, ...metadata(hit.metadata), why),
  );
  if (panel) item.append(panel);
  open(item, $("explain").checked);
  return item;
}

function where(hit) {
  const name = hit.title ? `${hit.document} · ` : "";
  const others = hit.passages.length;
  const more = others ? ` · ${others} more passage${others === 1 ? "" : "s"} among the candidates` : "";
  return `${name}passage ${hit.chunk + 1}, bytes ${hit.span[0]}–${hit.span[1]}${more}`;
}

function open(item, yes) {
  item.classList.toggle("open", yes);
  item.querySelector(".why").setAttribute("aria-expanded", String(yes));
  const panel = item.querySelector(".explain");
  if (panel) panel.hidden = !yes;
}

/** The passage, from its best sentence on when that would be out of sight. */
function snippet(hit) {
  const [marks, sentence] = marked(hit);
  const all = pieces(hit.text, marks, sentence);
  const early = 240;
  if (!sentence || sentence[0] < early) return all;
  const at = all.findIndex((piece) => piece.classList?.contains("sentence"));
  const before = el("span", { class: "before" }, ...all.slice(0, at));
  const dots = el("span", { class: "dots" }, "… ");
  return [before, dots, ...all.slice(at)];
}

/** Text with marked stretches as nodes. All ranges are bytes of UTF-8. */
function pieces(text, marks, sentence) {
  const bytes = new TextEncoder().encode(text);
  const cut = (from, to) => new TextDecoder().decode(bytes.subarray(from, to));
  const marked = (from, to) => {
    const nodes = [];
    let at = from;
    for (const [start, end, kind] of marks) {
      if (start < from || end > to) continue;
      nodes.push(cut(at, start), el("mark", { class: kind }, cut(start, end)));
      at = end;
    }
    nodes.push(cut(at, to));
    return nodes.filter((node) => node !== "");
  };
  if (!sentence) return marked(0, bytes.length);
  const [start, end] = sentence;
  return [...marked(0, start), el("span", { class: "sentence" }, ...marked(start, end)), ...marked(end, bytes.length)];
}

function metadata(values) {
  return Object.entries(values).flatMap(([field, value]) => [value].flat().map((one) => {
    const text = `${field}=${typeof one === "string" && literal(one) !== one ? JSON.stringify(one) : one}`;
    return el("button", { type: "button", class: "chip", title: "only these", onclick: () => addChip(text) }, text);
  }));
}

// ---- why -----------------------------------------------------------------------------------------------------

const number = (value) => value.toFixed(4);

function explanation(hit) {
  const { lexical, dense, feedback, fusion, rerank } = hit.explain;
  const parts = [];
  if (rerank) {
    const moved = `rank ${rerank.rank_before} → ${rerank.rank_after}`;
    parts.push(section("Cross-encoder", moved, el("code", {}, `score ${number(rerank.score)}`),
      el("code", {}, `weight ${rerank.weight}: ${number(rerank.combined)}`)));
  }
  if (fusion) parts.push(section("Fusion", `${fusion.method.method}, rank ${fusion.rank}`, arithmetic(fusion)));
  if (lexical) parts.push(section("BM25", ranked(lexical.rank), ...terms(lexical)));
  if (dense) parts.push(section("Cosine", ranked(dense.rank), el("code", {}, number(dense.cosine))));
  if (feedback) {
    parts.push(section("Feedback", `rank ${feedback.rank_before} before`,
      el("code", {}, `${feedback.weight} × cosine with the first passage ${number(feedback.cosine)}`)));
  }
  return el("div", { class: "explain", hidden: "" }, ...parts);
}

function section(title, note, ...content) {
  return el("section", {}, el("h3", {}, `${title} `, el("small", {}, note)), ...content);
}

function ranked(rank) {
  return rank === null ? "not among the candidates of this list" : `rank ${rank}`;
}

function arithmetic({ lexical, dense, score }) {
  const part = (name, { weight, value, contribution }) => `${name} ${weight} × ${number(value)} = ${number(contribution)}`;
  return el("code", {}, `${part("BM25", lexical)}  +  ${part("cosine", dense)}  →  ${number(score)}`);
}

function terms({ score, terms }) {
  if (terms.length === 0) return [el("code", {}, "none of the query's terms")];
  const head = ["term", "in passage", "in passages", "idf", "score", ""].map((name) => el("th", {}, name));
  const rows = terms.map((term) => {
    const bar = el("i");
    bar.style.width = `${(100 * term.score) / score}%`;
    const cells = [term.term, `${term.frequency}×`, term.document_frequency, term.idf.toFixed(2), number(term.score)];
    return el("tr", {}, ...cells.map((cell) => el("td", {}, String(cell))), el("td", { class: "bar" }, bar));
  });
  const sum = el("tr", {}, el("td", { colspan: "4" }, "sum"), el("td", {}, number(score)), el("td"));
  return [el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows, sum))];
}

// ---- filters -------------------------------------------------------------------------------------------------

function addChip(text) {
  if (!condition(text) || state.chips.includes(text)) return;
  state.chips.push(text);
  showChips();
  search();
}

function showChips() {
  const chips = state.chips.map((text) => ({ text, drop: () => (state.chips = state.chips.filter((chip) => chip !== text)) }));
  if (state.filter) chips.push({ text: "JSON", drop: () => (state.filter = null) });
  const element = ({ text, drop }) =>
    el("button", { type: "button", class: "chip", title: "remove", onclick: () => { drop(); showChips(); search(); } }, text, " ×");
  $("chips").replaceChildren(...chips.map(element));
}

/** True when the text is JSON or empty; the server says whether it is a filter. */
function applyJson() {
  const text = $("filter").value.trim();
  try {
    state.filter = text ? JSON.parse(text) : null;
  } catch (error) {
    complain("The filter is not JSON", error.message);
    return false;
  }
  showChips();
  return true;
}

// ---- keyboard and events -------------------------------------------------------------------------------------

function move(step) {
  const hits = [...$("hits").children];
  const at = hits.indexOf(document.activeElement.closest(".hit"));
  const to = at + step;
  if (to < 0) $("query").focus();
  else hits[Math.min(to, hits.length - 1)]?.focus();
}

function nextMode() {
  const radios = [...document.querySelectorAll("input[name=mode]")];
  const next = radios[(radios.findIndex((radio) => radio.checked) + 1) % radios.length];
  next.checked = true;
  search();
}

function escape(target) {
  if ($("filters").open && $("filters").contains(target)) $("filters").open = false;
  else if (target.closest(".hit.open")) return open(target.closest(".hit"), false);
  else if (target === $("query")) return $("query").value === "" ? $("query").blur() : ($("query").value = "");
  $("query").focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const target = event.target;
  const writing = target.matches("input:not([type=radio]):not([type=checkbox]), textarea");
  const act = {
    Escape: () => escape(target),
    ArrowDown: !writing || target === $("query") ? () => move(1) : null,
    ArrowUp: !writing ? () => move(-1) : null,
    "/": !writing ? () => $("query").select() : null,
    m: !writing ? nextMode : null,
    Enter: target.matches(".hit") ? () => open(target, !target.classList.contains("open")) : null,
  }[event.key];
  // In the row of modes the arrows choose a mode.
  if (!act || (target.matches("input[type=radio]") && event.key.startsWith("Arrow"))) return;
  event.preventDefault();
  act();
});

$("form").addEventListener("submit", (event) => { event.preventDefault(); search(); });
for (const radio of document.querySelectorAll("input[name=mode]")) radio.addEventListener("change", () => search());
for (const choice of ["rerank", "answer"]) $(choice).addEventListener("change", () => search());
$("explain").addEventListener("change", () => { for (const item of $("hits").children) open(item, $("explain").checked); });
$("more").addEventListener("click", () => search(state.offset + PAGE));
$("filter-apply").addEventListener("click", () => applyJson() && search());
const chipFromBox = () => { addChip($("chip").value); $("chip").value = ""; };
$("chip-add").addEventListener("click", chipFromBox);
$("chip").addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); chipFromBox(); }
});

async function about() {
  const response = await fetch("/readyz");
  const ready = await response.json();
  if (!response.ok) return complain(ready.title, ready.detail);
  const count = (n) => n.toLocaleString("en").replaceAll(",", "\u202f");
  $("about").textContent = `${count(ready.index.documents)} documents · ${count(ready.index.passages)} passages · ${ready.model}`;
  $("rerank-choice").hidden = ready.reranker === null;
  $("answer-choice").hidden = ready.reader === null;
}

about().catch((error) => complain("No answer", error.message));
recall();
search();
