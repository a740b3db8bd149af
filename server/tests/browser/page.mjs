// What a person does on the search page, done by a program: asks, switches modes, filters, opens explanations,
// uses the keyboard. Also looks for requests to elsewhere and for markup that comes out of a document.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [base, executablePath] = process.argv.slice(2);
const shots = process.env.SCREENSHOTS;
const WORD = "zyxquokka";

const documents = [
  { id: "browser test/größe", title: `The ${WORD} of Zürich`, text: `Größe 東京 🗼 first. A ${WORD} has its naïve place here. And a third sentence.`, metadata: { lang: "de", year: 2001, tags: ["a", "b"] } },
  { id: "browser test/markup", title: `<img src=x onerror="window.broken=1"> ${WORD}`, text: `<script>window.broken = 1</script> <b>${WORD}</b> & "quotes"`, metadata: { lang: "en", note: "<i>x</i>" } },
  { id: "browser test/long", title: `A long one on the ${WORD}`, text: `${"This comes before. ".repeat(16)}Only here stands the ${WORD} in its sentence.`, metadata: { lang: "en", year: 1999 } },
  { id: "browser test/bridge", title: "The bridge", text: `${"It is very old and often drawn. ".repeat(12)}The größte bridge of Velmora was built of red granite in 1587. Nobody knows why.`, metadata: { kind: "answer" } },
  ...Array.from({ length: 12 }, (_, n) => ({ id: `browser test/${n}`, title: `Number ${n}`, text: `Filler ${n} with a ${WORD} in it, and nothing else of interest.`, metadata: { lang: "en", n } })),
];
const place = (id) => `${base}/v1/documents/${encodeURIComponent(id)}`;

async function store() {
  const lines = documents.map((document) => JSON.stringify(document)).join("\n");
  const response = await fetch(`${base}/v1/documents`, { method: "POST", headers: { "Content-Type": "application/x-ndjson" }, body: lines });
  assert.equal(response.status, 200, await response.text());
}

const remove = () => Promise.all(documents.map(({ id }) => fetch(place(id), { method: "DELETE" })));

function watch(page) {
  const seen = { elsewhere: [], errors: [] };
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${base}/`) && !url.startsWith("data:")) seen.elsewhere.push(url);
  });
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => {
    // A refused request is part of the test.
    if (message.type() === "error" && !message.text().includes("Failed to load resource")) seen.errors.push(message.text());
  });
  return seen;
}

const answered = (page) => page.waitForResponse((response) => response.url() === `${base}/v1/search`);
const focused = (page) => page.evaluate(() => document.activeElement.closest(".hit")?.dataset.document ?? document.activeElement.id);
const ids = (page) => page.locator(".hit").evaluateAll((hits) => hits.map((hit) => hit.dataset.document));
async function shot(page, name) {
  if (shots) await page.screenshot({ path: `${shots}/${name}.png`, fullPage: false });
}

/** The hit of a document, on whichever page it is. */
async function find(page, id) {
  const hit = page.locator(`.hit[data-document="${id}"]`);
  while ((await hit.count()) === 0) {
    assert.ok(await page.locator("#more").isVisible(), `${id} is not found`);
    await during(page, () => page.locator("#more").click());
    await page.waitForTimeout(100);
  }
  return hit;
}

async function during(page, act) {
  const answer = answered(page);
  await act();
  const response = await answer;
  await page.waitForFunction(() => !document.getElementById("status").hidden || !document.getElementById("problem").hidden);
  return response.request().postDataJSON();
}

const steps = {
  async "asks and marks what matches"(page) {
    await page.goto(base);
    await page.waitForFunction(() => document.getElementById("about").textContent.includes("documents"));
    assert.equal(await focused(page), "query");
    await page.keyboard.type(`where is the ${WORD}`);
    const asked = await during(page, () => page.keyboard.press("Enter"));
    assert.equal(asked.mode, "hybrid");
    assert.equal(await page.locator(".hit").count(), 10);
    const marks = await page.locator(".hit mark").allTextContents();
    assert.ok(marks.length >= 10 && marks.every((mark) => mark.toLowerCase().includes(WORD)), String(marks));
    assert.match(await page.locator("#summary").textContent(), /candidates · hybrid · [\d.]+ ms/);
    assert.match(await page.locator("#stages").textContent(), /embed.*lexical.*dense/);
    await shot(page, "hybrid");
  },
  async "brings more"(page) {
    const before = await ids(page);
    await during(page, () => page.locator("#more").click());
    await page.waitForFunction((count) => document.querySelectorAll(".hit").length > count, before.length);
    const all = await ids(page);
    assert.ok(all.length > before.length);
    assert.deepEqual(all.slice(0, before.length), before);
    assert.equal(new Set(all).size, all.length);
  },
  async "counts marks in bytes, not in characters"(page) {
    const hit = await find(page, "browser test/größe");
    assert.equal(await hit.locator("h2 mark").textContent(), WORD);
    assert.equal(await hit.locator(".text mark").textContent(), WORD);
    assert.equal(await hit.locator(".sentence").textContent(), `A ${WORD} has its naïve place here.`);
  },
  async "shows markup of a document as text"(page) {
    const hit = await find(page, "browser test/markup");
    assert.match(await hit.locator("h2").textContent(), /^<img src=x onerror=/);
    assert.match(await hit.locator(".text").textContent(), /<script>window\.broken = 1<\/script> <b>/);
    assert.equal(await page.locator("#hits img, #hits script, #hits b, #hits .chip i").count(), 0);
    assert.equal(await page.evaluate(() => window.broken), undefined);
  },
  async "switches the mode"(page) {
    const asked = await during(page, () => page.locator(".modes span", { hasText: "lexical" }).click());
    assert.equal(asked.mode, "lexical");
    assert.match(await page.locator("#summary").textContent(), /lexical/);
    assert.match(page.url(), /mode=lexical/);
  },
  async "works with the keyboard alone"(page) {
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press("/");
    assert.equal(await focused(page), "query");
    const [first, second] = await ids(page);
    await page.keyboard.press("ArrowDown");
    assert.equal(await focused(page), first);
    await page.keyboard.press("ArrowDown");
    assert.equal(await focused(page), second);
    await page.keyboard.press("Enter");
    const open = page.locator(".hit.open .explain");
    assert.equal(await open.count(), 1);
    assert.match(await open.textContent(), /BM25/);
    await page.keyboard.press("Escape");
    assert.equal(await page.locator(".hit.open").count(), 0);
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("ArrowUp");
    assert.equal(await focused(page), "query");
    await page.keyboard.press("ArrowDown");
    const asked = await during(page, () => page.keyboard.press("m"));
    assert.equal(asked.mode, "dense");
  },
  async "explains every stage"(page) {
    await during(page, () => page.locator(".modes span", { hasText: "hybrid" }).click());
    await page.locator("#explain").check();
    const text = await page.locator(".hit .explain").first().textContent();
    for (const part of [/Fusion weighted, rank 1/, /BM25 0\.4 × [\d.]+ = [\d.]+/, /BM25 rank \d+/, /Cosine (rank|not)/, /Feedback rank \d+ before/, /sum/]) assert.match(text, part);
    await page.locator(".hit .explain").first().scrollIntoViewIfNeeded();
    await shot(page, "explain");
    await page.locator("#explain").uncheck();
  },
  async "folds what stands before the best sentence"(page) {
    const hit = await find(page, "browser test/long");
    assert.equal(await hit.locator(".before").isVisible(), false);
    await hit.locator(".why").click();
    assert.equal(await hit.locator(".before").isVisible(), true);
    await hit.locator(".why").click();
  },
  async "shows the answer above the hits and jumps to it"(page) {
    await page.waitForFunction(() => document.getElementById("about").textContent.includes("documents"));
    if (!(await page.locator("#answer-choice").isVisible())) return console.log("      no reader is loaded: answers are left out");
    const before = await page.locator("#query").inputValue();
    await page.locator("#query").fill("What was the bridge of Velmora built of?");
    await during(page, () => page.keyboard.press("Enter"));
    assert.equal(await page.locator("#answered").isVisible(), false);
    const asked = await during(page, () => page.locator("#answer").check());
    assert.deepEqual(asked.answer, {});
    await page.waitForSelector("#answered .words");
    assert.match(await page.locator("#answered .words").textContent(), /granite/);
    assert.match(await page.locator("#answered mark.answer").textContent(), /granite/);
    assert.match(await page.locator("#answered .text").textContent(), /^… .*größte bridge of Velmora/s);
    assert.match(await page.locator("#answered .where").textContent(), /hit \d+ The bridge · passage \d+ · margin [-\d.]+ above [-\d.]+/);
    assert.match(await page.locator("#answered summary").textContent(), /\d+ passages? read/);
    assert.match(page.url(), /answer=1/);
    const hit = page.locator('.hit[data-document="browser test/bridge"]');
    assert.match(await hit.locator("mark.answer").textContent(), /granite/);
    await shot(page, "answer");
    await page.locator("#answered .jump").click();
    assert.equal(await focused(page), "browser test/bridge");
    assert.equal(await hit.locator("mark.answer").isVisible(), true);
    await page.locator("#query").fill("Who painted the ceiling of the Sistine Chapel in Rome?");
    await during(page, () => page.keyboard.press("Enter"));
    await page.waitForSelector("#answered .none");
    assert.match(await page.locator("#answered").textContent(), /No answer in the \d+ passages? read.*The best margin, [-\d.]+, is not above/s);
    assert.equal(await page.locator("mark.answer").count(), 0);
    await shot(page, "no-answer");
    await during(page, () => page.locator("#answer").uncheck());
    assert.equal(await page.locator("#answered").isVisible(), false);
    await page.locator("#query").fill(before);
    await during(page, () => page.keyboard.press("Enter"));
  },
  async "filters by chips and by JSON"(page) {
    const hit = await find(page, "browser test/größe");
    const asked = await during(page, () => hit.locator(".chip", { hasText: "lang=de" }).click());
    assert.deepEqual(asked.filter, { eq: { lang: "de" } });
    assert.deepEqual(await ids(page), ["browser test/größe"]);
    await page.locator("#filters summary").click();
    await page.locator("#chip").fill("year>=2000");
    const both = await during(page, () => page.keyboard.press("Enter"));
    assert.deepEqual(both.filter, { and: [{ eq: { lang: "de" } }, { range: { year: { gte: 2000 } } }] });
    await during(page, () => page.locator("#chips .chip", { hasText: "lang=de" }).click());
    await page.locator("#filter").fill('{"exists": "n"}');
    const json = await during(page, () => page.locator("#filter-apply").click());
    assert.deepEqual(json.filter, { and: [{ range: { year: { gte: 2000 } } }, { exists: "n" }] });
    assert.match(await page.locator("#summary").textContent(), /Nothing found/);
    await page.locator("#filter").fill('{"like": "n"}');
    await during(page, () => page.locator("#filter-apply").click());
    assert.match(await page.locator("#problem").textContent(), /unknown operator/);
    await page.locator("#filter").fill("");
    await during(page, () => page.locator("#filter-apply").click());
    await shot(page, "filter");
  },
  async "keeps the question in the address"(page) {
    await page.reload();
    await answered(page).catch(() => {});
    await page.waitForSelector(".hit");
    assert.equal(await page.locator("#query").inputValue(), `where is the ${WORD}`);
    assert.equal(await page.locator("#chips .chip").count(), 1);
  },
  async "shows and tries the API"(page) {
    await page.goto(`${base}/docs`);
    const search = page.locator(".operation", { hasText: "/v1/search" });
    await search.locator("summary").click();
    await search.locator("button").click();
    await page.waitForFunction(() => document.querySelector(".operation pre").textContent.startsWith("200"));
    await shot(page, "docs");
  },
  async "fits a small and a dark screen"(page) {
    await page.setViewportSize({ width: 360, height: 740 });
    await page.emulateMedia({ colorScheme: "dark" });
    await page.goto(`${base}/?q=${WORD}&mode=hybrid`);
    await page.waitForSelector(".hit");
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${overflow} pixels too wide`);
    await shot(page, "small-dark");
  },
};

if (shots) mkdirSync(shots, { recursive: true });
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
await store();
const browser = await chromium.launch({ executablePath, headless: true, args: flags });
try {
  const page = await browser.newPage({ viewport: { width: 1000, height: 900 } });
  page.setDefaultTimeout(15_000);
  const seen = watch(page);
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step(page);
      console.log(`ok    ${name}`);
    } catch (error) {
      await shot(page, "failed");
      console.log(`FAIL  ${name}`);
      throw error;
    }
  }
  assert.deepEqual(seen, { elsewhere: [], errors: [] });
} finally {
  await browser.close();
  await remove();
}
