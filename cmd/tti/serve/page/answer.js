// Asking for answers, and what is told of them.

import * as api from "./api.js";
import { request } from "./conversation.js";

// run asks for an answer and keeps in it what comes, until it ends or the signal stops it; changed is called each time. A text
// that is there from before a reload stays until the new one, which is the same, has grown longer.
export async function run(conversation, answer, signal, changed) {
  const began = performance.now();
  let text = "", first = null, pieces = 0;
  try {
    for await (const piece of api.answer(request(conversation, answer), signal)) {
      if (piece.text !== "") {
        first ??= performance.now();
        pieces++;
      }
      text += piece.text;
      if (text.length > answer.content.length || !answer.content.startsWith(text)) answer.content = text;
      answer.fingerprint = piece.fingerprint;
      answer.finish = piece.finish ?? answer.finish ?? null;
      answer.tokens = piece.usage?.completion_tokens ?? pieces;
      if (piece.usage) {
        answer.promptTokens = piece.usage.prompt_tokens;
        answer.cachedTokens = piece.usage.prompt_tokens_details?.cached_tokens ?? 0;
      }
      setTimes(answer, began, first);
      changed();
    }
    answer.content = text;
    answer.state = "done";
  } catch (error) {
    answer.state = signal.aborted ? "stopped" : "failed";
    if (!signal.aborted) {
      answer.problem = error.message;
      answer.problemCode = error.code ?? "";
    }
  }
  changed();
}

// setTimes keeps the milliseconds to the first token, and from there to the latest one.
function setTimes(answer, began, first) {
  if (first === null) return;
  answer.firstToken = first - began;
  answer.duration = performance.now() - first;
}

// facts tells in words how an answer came about.
export function facts(answer) {
  const told = [];
  if (answer.tokens) told.push(`${answer.tokens} tokens`);
  if (answer.tokens > 1 && answer.duration > 0) told.push(`${((answer.tokens - 1) / answer.duration * 1000).toFixed(1)} tok/s`);
  if (answer.firstToken !== undefined) told.push(`first after ${(answer.firstToken / 1000).toFixed(2)} s`);
  if (answer.promptTokens) told.push(`prompt ${answer.promptTokens} tokens, ${answer.cachedTokens} of them cached`);
  told.push(`seed ${answer.asked.seed}`);
  if (answer.state === "stopped") told.push("stopped");
  return told.join(" · ");
}

// again asks for an answer's text once more, and returns the text, its tokens with as many alternatives as wanted, and whether the
// text is the same. A stopped answer is compared as far as it goes.
export async function again(conversation, answer, alternatives = 0) {
  const asked = { ...request(conversation, answer) };
  if (alternatives > 0) Object.assign(asked, { logprobs: true, top_logprobs: alternatives });
  const result = { text: "", tokens: [], fingerprint: "" };
  for await (const piece of api.answer(asked)) {
    result.text += piece.text;
    result.tokens.push(...piece.tokens);
    result.fingerprint = piece.fingerprint;
  }
  result.same = answer.state === "done" ? result.text === answer.content : result.text.startsWith(answer.content);
  return result;
}

// curl returns the command that asks for an answer.
export function curl(conversation, answer) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const lines = [`curl ${quoted(new URL(api.chatPath, document.baseURI).href)}`, `-H 'Content-Type: application/json'`];
  if (api.hasKey()) lines.push(`-H "Authorization: Bearer $TTI_KEY"`);
  lines.push(`-d ${quoted(JSON.stringify(request(conversation, answer)))}`);
  return lines.join(" \\\n  ");
}

// fitting returns the id of the first message to send so that an answer has room for a quarter of the model's context, and all
// before it is left out; null if all fit, undefined if not even the last message does.
export async function fitting(conversation, answer) {
  const { messages } = request(conversation, { ...answer, asked: { ...answer.asked, first: null } });
  const systems = messages[0].role === "system" ? 1 : 0;
  const fits = async (left) => {
    const { count, context } = await api.measure(answer.asked.model, [...messages.slice(0, systems), ...messages.slice(systems + left)]);
    return count <= context * 3 / 4;
  };
  let least = 0, most = (messages.length - systems - 1) / 2; // pairs of question and answer that are left out
  if (!await fits(2 * most)) return undefined;
  while (least < most) {
    const middle = Math.floor((least + most) / 2);
    if (await fits(2 * middle)) most = middle; else least = middle + 1;
  }
  return 2 * most;
}
