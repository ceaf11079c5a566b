// Draws docs/screenshots anew from a running demo:
//   (set -a; . DATA_DIR/demo.env; node e2e/screenshots.mjs [PAGE…])
// It asks the model a few times first, so that there is something to see.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const { INVENTIV_URL: site, INVENTIV_ADMIN_EMAIL: email, INVENTIV_ADMIN_PASSWORD: password, INVENTIV_API_KEY: admin,
  OPENAI_BASE_URL: base, OPENAI_API_KEY: key, OPENAI_MODEL: model } = process.env;
const folder = fileURLToPath(new URL("../docs/screenshots/", import.meta.url));
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

const ask = (i) => fetch(`${base}/chat/completions`, {
  method: "POST", headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
  body: JSON.stringify({ model, stream: true, max_tokens: 5 * i, messages: [{ role: "user", content: `Tell me story number ${i}.` }] }),
}).then((res) => res.text());
await Promise.all(Array.from({ length: 24 }, (_, i) => ask(i + 1)));

const { items: [instance] } = await (await fetch(`${site}/api/v1/instances`, { headers: { Authorization: `Bearer ${admin}` } })).json();
const pages = {
  "sign-in": "/sign-in", home: "/", deployments: "/deployments", deploy: `/deployments/new?model=${model}`, instances: "/instances",
  instance: `/instances/${instance.id}`, models: "/models", endpoints: "/endpoints", playground: "/playground", keys: "/keys",
  usage: "/usage", requests: "/requests", members: "/members", audit: "/audit", loops: "/loops", account: "/account",
};
const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(pages);

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const stranger = await browser.newContext();
const door = await stranger.newPage();
await door.goto(`${site}/sign-in`);
await door.getByLabel("E-mail address").fill(email);
await door.getByLabel("Password").fill(password);
await door.getByRole("button", { name: "Sign in" }).click();
await door.locator(".shell").waitFor();
const storageState = await stranger.storageState();

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1440, 390]) {
    const look = { colorScheme, viewport: { width, height: 900 } };
    const [outside, inside] = await Promise.all([browser.newContext(look), browser.newContext({ ...look, storageState })]);
    for (const name of names) {
      const page = await (name === "sign-in" ? outside : inside).newPage();
      await page.goto(site + pages[name]);
      await page.evaluate(() => document.fonts.ready);
      await page.screenshot({ path: `${folder}${name}-${colorScheme}-${width}.png`, fullPage: true });
      await page.close();
    }
    await Promise.all([outside.close(), inside.close()]);
  }
}
await browser.close();
