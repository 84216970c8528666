// The server's HTTP interface. Addresses are relative to the page, so that it works behind a proxy's path too.

// Refusal is an error that the server names.
export class Refusal extends Error {
  constructor(error, status) {
    super(error?.message ?? `the server answered with status ${status}`);
    this.status = status;
    this.code = error?.code ?? "";
  }
}

let key = sessionStorage.getItem("key") ?? "";
let askForKey = async () => null;

// wantKey sets what asks the reader for a key: it returns one, or null.
export function wantKey(ask) { askForKey = ask; }
export function hasKey() { return key !== ""; }

// call sends a request, a GET without a body, and asks for a key for as long as the server does not know the one it has.
async function call(path, body, signal) {
  for (;;) {
    const headers = {};
    if (body) headers["Content-Type"] = "application/json";
    if (key) headers.Authorization = `Bearer ${key}`;
    const sent = key;
    const response = await fetch(path, { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) });
    if (response.ok) return response;
    const refusal = new Refusal((await response.json().catch(() => null))?.error, response.status);
    if (response.status !== 401) throw refusal;
    if (key === sent) { // else it was given for another request in the meantime
      const given = await askForKey(sent !== "");
      if (given === null) throw refusal;
      key = given;
      sessionStorage.setItem("key", key);
    }
  }
}

// models returns the models: {name, plain}; a plain one has no chat template.
export async function models() {
  const { data } = await (await call("v1/models")).json();
  return data.map((card) => ({ name: card.id, plain: card.chat_template === false }));
}

// measure returns how many tokens the messages, or the prompt, of a request are, and how many its model can take.
export async function measure({ model, messages, prompt }) {
  const answer = await (await call("tokenize", { model, messages, prompt })).json();
  return { count: answer.count, context: answer.max_model_len };
}

const chatPath = "v1/chat/completions", textPath = "v1/completions";

// pathOf returns where a request is sent: one with messages, or one with a prompt.
export function pathOf(request) { return request.messages ? chatPath : textPath; }

// withAlternatives asks for each token's probability too, and for the most probable ones in its place.
export function withAlternatives(request, count) {
  return request.messages ? { ...request, logprobs: true, top_logprobs: count } : { ...request, logprobs: count };
}

// answer yields the pieces of the answer to a request: {text, tokens, origins, finish, usage, fingerprint}. Tokens are there if
// alternatives were asked for: {token, logprob, bytes, top_logprobs}.
export async function* answer(request, signal) {
  const options = { stream: true, stream_options: { include_usage: true, include_origins: true } };
  const response = await call(pathOf(request), { ...request, ...options }, signal);
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Refusal(chunk.error, response.status);
    const choice = chunk.choices[0];
    yield {
      text: choice?.delta?.content ?? choice?.text ?? "",
      tokens: choice?.logprobs ? choice.logprobs.content ?? tokensOf(choice.logprobs) : [],
      origins: choice?.origins ?? [],
      finish: choice?.finish_reason ?? null,
      usage: chunk.usage ?? null,
      fingerprint: chunk.system_fingerprint,
    };
  }
  throw new Refusal({ message: "the connection ended before the answer did" }, 0);
}

// tokensOf returns the tokens of a completion as those of a chat completion.
function tokensOf({ tokens, token_logprobs, top_logprobs }) {
  return tokens.map((spelled, i) => ({
    ...tokenOf(spelled, token_logprobs[i]),
    top_logprobs: Object.entries(top_logprobs[i]).map(([other, logprob]) => tokenOf(other, logprob)).sort((a, b) => b.logprob - a.logprob),
  }));
}

// tokenOf reads a token that is spelled as completions do it: one that is part of a character as bytes:\xe2.
function tokenOf(spelled, logprob) {
  const part = /^bytes:((?:\\x[0-9a-f]{2})+)$/.exec(spelled);
  const bytes = part ? part[1].slice(2).split("\\x").map((digits) => parseInt(digits, 16)) : [...new TextEncoder().encode(spelled)];
  return { token: new TextDecoder().decode(new Uint8Array(bytes)), bytes, logprob };
}

// events yields the data of server-sent events.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      if (block.startsWith("data: ")) yield block.slice("data: ".length);
    }
  }
}
