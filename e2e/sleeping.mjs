// A model that sleeps: a deployment of none to one machines of the demo's cloud,
// whose engine takes longer to load than the gateway waits before it shows a
// stream that it is alive. Run by itself it makes one and prints its name.
import { api } from "./upstream.mjs";

const { INVENTIV_URL, OPENAI_API_KEY } = process.env;

export async function sleeping(name = `asleep-${process.pid}`) {
  const model = `e2e/${name}`;
  const engine = { kind: "sim", sim: { load_ms: 6000, first_token_ms: 40, tokens_per_second: 120 } };
  await api("POST", "/models", { name: model, simulated: true, engine });
  await api("POST", "/deployments", { name, model, offers: ["mock/local-2/SIM-L4-1-24G"], replicas: { min: 0, max: 1 } });
  for (let i = 0; i < 100; i++) {
    const res = await fetch(`${INVENTIV_URL}/v1/models`, { headers: { authorization: `Bearer ${OPENAI_API_KEY}` } });
    if ((await res.json()).data?.some((m) => m.id === model && m.state === "sleeping")) return { model, name };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the gateway does not know ${model} after 5 s`);
}

if (import.meta.filename === process.argv[1]) console.log((await sleeping()).model);
