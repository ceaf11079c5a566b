// A person at the console of a running demo: signs in, deploys a model and
// watches it become ready, chats, and finds the usage with its cost. One story,
// each step of which needs the one before (see run.sh).
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const { INVENTIV_URL: site, INVENTIV_ADMIN_EMAIL: email, INVENTIV_ADMIN_PASSWORD: password, OPENAI_MODEL: model } = process.env;
const name = "from-the-browser-with-a-name-as-long-as-any-name-may-be-in-here"; // 63 characters
const complaints = [];
let browser;
let page;

before(async () => {
  const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
  assert.ok(executablePath, "no Chromium in /usr/bin");
  browser = await chromium.launch({
    executablePath, headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(15_000);
  page.on("console", (m) => { if (m.type() === "error") complaints.push(`${page.url()}: ${m.text()}`); });
  page.on("pageerror", (err) => complaints.push(`${page.url()}: ${err.message}`));
  page.on("response", (r) => { if (r.status() >= 400) complaints.push(`${r.status()} ${r.url()}`); });
});

after(() => browser?.close());

// calm fails with what the browser has complained of since the last step.
const calm = () => assert.deepEqual(complaints.splice(0), []);

test("a stranger is sent to the sign-in page, and from there to the first page", async () => {
  await page.goto(site);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator(".shell").waitFor();
  assert.equal(new URL(page.url()).pathname, "/");
  calm();
});

test("a deployment made in the console becomes ready before one's eyes", async () => {
  await page.goto(`${site}/deployments/new`);
  await page.getByLabel(model).check();
  await page.locator("input[name=first]:not([disabled])").first().check();
  await page.locator("#plan button.go:not([disabled])").waitFor();
  await page.getByLabel("Name").fill(name);
  await page.locator("#plan button.go").click();
  await page.waitForURL(/\/(deployments|instances)\/(?!new)/);

  await page.evaluate(() => { globalThis.untouched = true; }); // a reload would lose it
  await page.locator("#main .head .state", { hasText: "Serving" }).waitFor({ timeout: 30_000 });
  await page.locator("#main tbody .state", { hasText: "Ready" }).waitFor();
  assert.equal(await page.evaluate(() => globalThis.untouched), true, "the page came to it without being reloaded");
  calm();
});

test("the playground streams an answer and its figures", async () => {
  await page.goto(`${site}/playground`);
  await page.getByLabel("Model").selectOption(model);
  await page.getByLabel("Message").fill("Tell me a story in forty words.");
  await page.evaluate(() => { // notes each change: asking from here would miss some
    globalThis.lengths = new Set();
    new MutationObserver(() => globalThis.lengths.add(document.querySelector(".turn.assistant .said")?.textContent.length ?? 0))
      .observe(document.querySelector("#main"), { subtree: true, childList: true, characterData: true });
  });
  await page.getByRole("button", { name: "Send" }).click();
  const turn = page.locator(".turn.assistant");
  await turn.locator(".said:not(:empty)").waitFor();
  await page.locator(".turn.assistant:not(.live)").waitFor();
  const lengths = await page.evaluate(() => [...globalThis.lengths]);
  assert.ok(lengths.length > 3, `the text came at once, not in pieces: lengths ${lengths}`);
  const figures = await turn.locator(".runline").innerText();
  for (const want of [/first token/, /tok\/s/, /€/]) assert.match(figures, want);
  assert.equal(await turn.locator(".note.bad").count(), 0);
  calm();
});

test("the usage page has the request and what it cost", async () => {
  await page.goto(`${site}/usage`);
  const record = page.getByTestId("records").locator("tbody tr").first();
  await record.waitFor();
  assert.match(await record.innerText(), new RegExp(model.replaceAll("/", "\\/")));
  const cost = await page.getByTestId("usage-value").innerText();
  assert.ok(Number.parseFloat(cost) > 0, `the cost is ${cost}`);
  calm();
});

test("no page is wider than a phone, whatever is called how", async () => {
  const paths = await page.locator("nav.nav a").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
  assert.ok(paths.length > 8, `the menu leads to ${paths}`);
  await page.goto(`${site}/deployments`);
  const deployment = await page.locator("#main tbody a.row-link", { hasText: name }).getAttribute("href");
  await page.goto(site + deployment);
  const instance = await page.locator("#main tbody a.row-link").first().getAttribute("href");
  await page.setViewportSize({ width: 390, height: 844 });
  for (const path of [...paths, deployment, `${deployment}/delete`, instance, `${instance}/terminate`, `/deployments/new?model=${model}`]) {
    await page.goto(site + path);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${path} is ${wide} pixels wide`);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  calm();
});

test("a page that lost the server says so, and since when, and comes back", async () => {
  await page.goto(site);
  const badge = page.locator("#live");
  await page.locator('#live[data-state="on"]').waitFor();
  await page.context().setOffline(true);
  await page.locator('#live[data-state="lost"]').waitFor();
  assert.match(await badge.innerText(), /as of \d\d:\d\d:\d\d, reconnecting/);
  await page.context().setOffline(false);
  await page.locator('#live[data-state="on"]').waitFor();
  complaints.splice(0); // of what it tried meanwhile
});
