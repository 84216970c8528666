// The page: what there is, and what the controls do.

import * as api from "./api.js";
import { again, curl, fitting, run } from "./answer.js";
import * as tree from "./conversation.js";
import { askForKey, compare, openDialog, showCommand } from "./dialogs.js";
import { button, element } from "./elements.js";
import { visible } from "./markdown.js";
import * as settings from "./settings.js";
import { announce, Speaker } from "./speaker.js";
import * as store from "./store.js";
import * as tokens from "./tokens.js";
import { View } from "./view.js";

const byID = (id) => document.getElementById(id);
const prompt = byID("prompt"), search = byID("search"), model = byID("model");

let conversations = [];
let current = null;
let plainModels = new Set(); // names of those without a chat template
const running = new Map(); // what stops an answer, by its id

const saver = new store.Saver(() => notice("This browser keeps no conversations: they are gone with the page."));
const view = new View(byID("messages"), {
  choose: (message) => change(() => tree.choose(current, message)),
  edit: (message) => view.edit(message),
  edited: (message, content) => send(message.parent, content),
  goOn: (answer) => continueText(answer.id),
  copy: (message) => copy(message.content),
  another: (answer) => ask(current, tree.path(current, answer.parent).at(-1), answer.asked.first),
  reproduce, shorten, tokens: toggleTokens,
  curl: (answer) => showCommand(curl(current, answer)),
});

function keep(conversation) { return conversations.includes(conversation) && saver.now(conversation); }
function keepSoon(conversation) { if (conversations.includes(conversation)) saver.soon(conversation); }

function notice(text) { byID("notice").textContent = text; }

// change changes the conversation that is shown, and shows and keeps it.
function change(act) {
  act();
  view.show(current);
  showControls();
  listConversations();
  keepSoon(current);
}

// Answers.

// send asks a question that follows a message, null for none.
function send(parent, content) {
  if (content.trim() === "" || !current) return;
  if (!conversations.includes(current)) conversations.push(current);
  ask(current, tree.addQuestion(current, parent, content));
}

// continueText lets a model go on with its own text.
function continueText(parent) {
  if (!runningHere()) ask(current, tree.addQuestion(current, parent, ""));
}

function ask(conversation, question, first = null) {
  notice("");
  const before = tree.path(conversation, question.id).findLast((message) => message.role === "assistant");
  const plain = plainModels.has(conversation.settings.model);
  const answer = tree.addAnswer(conversation, question, plain, first ?? before?.asked.first);
  change(() => {});
  alone(answer.id, () => follow(conversation, answer));
}

// follow asks for an answer and shows it as it comes, at most once for each picture that the screen shows.
async function follow(conversation, answer) {
  const stop = new AbortController();
  running.set(answer.id, stop);
  showControls();
  await keep(conversation); // the seed, with which a page that is loaded again goes on
  let drawing = 0;
  const speaker = conversation === current ? new Speaker(answer.content.length) : null;
  await run(conversation, answer, stop.signal, () => {
    keepSoon(conversation);
    drawing ||= requestAnimationFrame(() => {
      drawing = 0;
      if (conversation !== current) return;
      view.update(answer);
      speaker?.grown(answer.content);
    });
  });
  cancelAnimationFrame(drawing);
  running.delete(answer.id);
  if (conversation === current) {
    view.update(answer);
    speaker?.ended(answer.content + (answer.state === "done" ? "" : ` ${answer.problem ?? "Stopped"}`));
  }
  showControls();
  await keep(conversation);
}

// changedElsewhere takes over what another tab has done to a conversation, unless this tab writes an answer in it.
async function changedElsewhere(id) {
  const mine = conversations.find((conversation) => conversation.id === id);
  if (mine?.messages.some((message) => running.has(message.id))) return;
  const theirs = await store.loadOne(id);
  conversations = conversations.filter((conversation) => conversation !== mine);
  if (theirs) conversations.push(theirs);
  if (mine && mine === current) {
    if (!theirs) return begin();
    current = theirs;
    view.show(current);
  }
  listConversations();
}

// alone acts for the answer with an id, unless another tab does.
function alone(id, act) {
  if (!navigator.locks) return act(); // there are none on pages without TLS
  return navigator.locks.request(id, { ifAvailable: true }, (lock) => lock && act());
}

// resume goes on with answers that were not whole when the page was left, and are not now that no other tab writes them.
function resume(conversation) {
  for (const { id } of conversation.messages.filter(isRunning)) {
    alone(id, async () => {
      await changedElsewhere(conversation.id);
      const now = conversations.find((other) => other.id === conversation.id);
      const answer = now?.messages.find((message) => message.id === id);
      if (answer && isRunning(answer)) await follow(now, answer);
    });
  }
}

const isRunning = (message) => message.state === "running";
const runningHere = () => tree.path(current).find((message) => running.has(message.id));

function stop() {
  const answer = runningHere();
  if (answer) running.get(answer.id).abort();
  prompt.focus();
}

function reproduce(answer) {
  compare(visible(answer.content), again(current, answer).then((second) => ({ text: visible(second.text), verdict: verdict(answer, second) })));
}

function verdict(answer, second) {
  if (second.same) return answer.state === "done" ? `Equal: all ${second.text.length} characters.` : `Equal as far as the first goes: ${answer.content.length} characters.`;
  const files = second.fingerprint === answer.fingerprint ? "" : " The model's file or the arithmetic is another one now.";
  const at = [...answer.content].findIndex((character, i) => character !== [...second.text][i]);
  return `Different from character ${at < 0 ? answer.content.length : at} on.${files}`;
}

const alternatives = 5;

// toggleTokens shows an answer's tokens, for which it is asked for again: an answer can be had again.
async function toggleTokens(answer, control) {
  if (control.ariaPressed === "true") {
    control.ariaPressed = "false";
    view.showInstead(answer, null);
    return;
  }
  control.disabled = true;
  try {
    const second = await again(current, answer, alternatives);
    control.ariaPressed = "true";
    view.showInstead(answer, tokens.show(second.tokens, second.same ? answer.origins ?? "" : ""));
    if (!second.same) notice("These are the tokens of another text: the model's file or the arithmetic is another one now.");
  } catch (error) {
    notice(error.message);
  }
  control.disabled = false;
}

// shorten asks a question again without the oldest messages, which the model's context has no room for.
async function shorten(answer) {
  const conversation = current;
  try {
    const first = await fitting(conversation, answer);
    if (first === undefined) return notice("The last message alone is too long for this model.");
    ask(conversation, tree.path(conversation, answer.parent).at(-1), first);
  } catch (error) {
    notice(error.message);
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied");
  } catch {
    notice("This browser lets no page without TLS copy.");
  }
}

// Conversations.

function open(conversation) {
  current = conversation;
  view.show(conversation);
  if (conversation.settings.model) model.value = conversation.settings.model;
  showControls();
  listConversations();
  showMenu(false);
}

// showMenu shows the list of conversations, where the screen is too narrow for it, in front of the one that is shown.
function showMenu(shown) {
  byID("sidebar").classList.toggle("shown", shown);
  byID("menu").ariaExpanded = String(shown);
  for (const id of ["messages", "composer"]) byID(id).inert = shown;
}

const menuShown = () => byID("menu").ariaExpanded === "true";

function begin() {
  open(tree.create({ ...current?.settings, model: model.value }));
  prompt.focus();
}

function showControls() {
  const busy = Boolean(current && runningHere());
  byID("send").hidden = busy;
  byID("stop").hidden = !busy;
  byID("plain").hidden = !plainModels.has(model.value);
}

const latest = (conversation) => conversation.messages.at(-1)?.created ?? conversation.created;

// listed returns the conversations in which the text that is searched is found, the latest first: {conversation, found}. Without
// such a text these are all, and nothing is found.
function listed() {
  const wanted = search.value.trim();
  return conversations.toSorted((a, b) => latest(b) - latest(a))
    .map((conversation) => ({ conversation, found: wanted ? tree.find(conversation, wanted) : null }))
    .filter(({ found }) => !wanted || found);
}

function listConversations() {
  byID("conversations").replaceChildren(...listed().map(({ conversation, found }) => listItem(conversation, found)));
}

let reached = null; // the message to which the search led

// goToFound shows the next message of a conversation that has the text that is searched, the first one after the last.
function goToFound(conversation) {
  const wanted = search.value.trim();
  const found = tree.find(conversation, wanted, reached) ?? tree.find(conversation, wanted);
  if (!found) return open(conversation); // another tab has changed it
  const { message, text } = found;
  reached = message;
  if (!tree.path(conversation).includes(message)) tree.choose(conversation, message);
  open(conversation);
  view.goTo(message, text);
}

// searchFor begins a search for what stands in the field now.
function searchFor() {
  reached = null;
  CSS.highlights?.delete("found");
  listConversations();
}

// goOnSearching goes to the next place that the search finds, in the conversation that is shown or else in the first of the list.
function goOnSearching() {
  const found = listed().filter((item) => item.found).map(({ conversation }) => conversation);
  if (found.length === 0) return;
  goToFound(found.includes(current) ? current : found[0]);
  search.focus();
}

function listItem(conversation, found) {
  const choice = button(visible(tree.title(conversation)), () => {
    notice("");
    if (found) return goToFound(conversation);
    open(conversation);
    prompt.focus();
  });
  choice.className = "open";
  if (found) choice.append(element("small", "", visible(found.excerpt)));
  if (conversation === current) choice.setAttribute("aria-current", "true");
  const remove = button("×", () => removeConversation(conversation), `Delete ${tree.title(conversation)}`);
  return element("li", "", choice, remove);
}

function removeConversation(conversation) {
  if (!confirm(`Delete "${tree.title(conversation)}"?`)) return;
  for (const message of conversation.messages) running.get(message.id)?.abort();
  conversations = conversations.filter((other) => other !== conversation);
  saver.remove(conversation);
  if (conversation === current) begin(); else listConversations();
}

function exportAll() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([tree.written(conversations)], { type: "application/json" }));
  link.download = `conversations-${new Date().toISOString().slice(0, 10)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function importFile(file) {
  try {
    const ids = new Set(conversations.map(({ id }) => id));
    const read = tree.read(await file.text(), (id) => ids.has(id));
    conversations.push(...read);
    for (const conversation of read) keep(conversation);
    if (read.length > 0) open(read[0]);
    announce(`${read.length} conversations imported`);
  } catch (error) {
    notice(`${file.name}: ${error.message}`);
  }
}

// Settings.

async function editSettings() {
  const form = byID("settings").querySelector("form");
  const conversation = current;
  byID("system").value = conversation.settings.system ?? "";
  settings.fill(form, conversation.settings);
  if (!await openDialog("settings")) return;
  conversation.settings = { model: conversation.settings.model, ...settings.read(form) };
  if (byID("system").value.trim()) conversation.settings.system = byID("system").value;
  keepSoon(conversation);
}

async function listModels() {
  try {
    const list = await api.models();
    plainModels = new Set(list.filter(({ plain }) => plain).map(({ name }) => name));
    model.replaceChildren(...list.map(({ name }) => new Option(name)));
    model.value = (list.find(({ plain }) => !plain) ?? list[0])?.name;
    notice("");
  } catch (error) {
    notice(error.message);
  }
}

// What the controls do.

function bindControls() {
  const click = (id, act) => byID(id).addEventListener("click", act);
  click("new", () => {
    notice("");
    begin();
  });
  click("stop", stop);
  click("open-settings", editSettings);
  click("export", exportAll);
  click("import", () => byID("file").click());
  click("menu", () => {
    showMenu(!menuShown());
    if (menuShown()) byID("new").focus();
  });
  matchMedia("(max-width: 45rem)").addEventListener("change", () => showMenu(false));
  search.addEventListener("input", searchFor);
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") goOnSearching(); });
  byID("file").addEventListener("change", async ({ target }) => {
    if (target.files[0]) await importFile(target.files[0]);
    target.value = "";
  });
  model.addEventListener("change", () => {
    current.settings.model = model.value;
    showControls();
    keepSoon(current);
  });
  byID("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open], .edit") || tokens.hide()) return;
    if (menuShown()) {
      showMenu(false);
      byID("menu").focus();
    } else stop();
  });
}

async function submit() {
  if (runningHere()) return;
  if (model.options.length === 0) await listModels(); // there was no key, or no server
  if (model.options.length === 0) return;
  const content = prompt.value;
  prompt.value = "";
  current.settings.model ||= model.value;
  send(end(), content);
}

// end returns what the next question follows: not an answer that failed without a word, but what its question followed.
function end() {
  const [question, last] = tree.path(current).slice(-2);
  return last?.state === "failed" && last.content === "" ? question.parent : current.leaf;
}

async function start() {
  api.wantKey(askForKey);
  settings.build(byID("sampling"));
  bindControls();
  try {
    conversations = await store.load();
  } catch {
    notice("This browser keeps no conversations: they are gone with the page.");
  }
  store.onChange(changedElsewhere);
  await listModels();
  const last = conversations.toSorted((a, b) => latest(b) - latest(a))[0];
  if (last) open(last); else begin();
  for (const conversation of conversations) resume(conversation);
  document.body.dataset.ready = "true";
}

start();
