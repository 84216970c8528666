// The messages of a conversation as elements.

import { facts } from "./answer.js";
import { path, siblings } from "./conversation.js";
import { button, element } from "./elements.js";
import { Text } from "./markdown.js";

// View shows a conversation in a container. actions are what the buttons at a message do, each given the message.
export class View {
  #container;
  #actions;
  #conversation = null;
  #shown = new Map(); // messages by id

  constructor(container, actions) {
    this.#container = container;
    this.#actions = actions;
  }

  show(conversation) {
    if (conversation !== this.#conversation) this.#shown.clear();
    this.#conversation = conversation;
    const messages = path(conversation);
    const first = messages.at(-1)?.asked?.first;
    const elements = [];
    for (const message of messages) {
      if (first && message.id === first) elements.push(element("p", "cut", "What stands above this line was left out: the model's context is full"));
      if (!this.#shown.has(message.id)) this.#shown.set(message.id, new Message(message, this.#actions));
      const shown = this.#shown.get(message.id);
      shown.update(siblings(conversation, message));
      elements.push(shown.element);
    }
    this.#container.replaceChildren(...elements);
    this.toEnd();
  }

  // update shows how an answer has changed, and keeps its end in sight if it was.
  update(answer) {
    const atEnd = this.#container.scrollHeight - this.#container.scrollTop - this.#container.clientHeight < 60;
    this.#shown.get(answer.id)?.update(siblings(this.#conversation, answer));
    if (atEnd) this.toEnd();
  }

  toEnd() { this.#container.scrollTop = this.#container.scrollHeight; }

  // goTo goes to a message, and marks a text in it where it stands in one piece.
  goTo(message, text) {
    const shown = this.#shown.get(message.id)?.element;
    if (!shown) return;
    shown.scrollIntoView({ block: "start" });
    shown.focus({ preventScroll: true });
    const range = rangeOf(shown, text);
    if (CSS.highlights) CSS.highlights.set("found", new Highlight(...range ? [range] : [])); // older browsers have none
    range?.startContainer.parentElement.scrollIntoView({ block: "nearest" });
  }

  // edit puts a field in a question's place.
  edit(question) { this.#shown.get(question.id)?.edit(); }

  // showInstead shows an element in place of an answer's text, or its text again.
  showInstead(answer, other) { this.#shown.get(answer.id)?.showInstead(other); }
}

// rangeOf returns where a text stands in an element, null where it does in no single text node.
function rangeOf(within, text) {
  const nodes = document.createTreeWalker(within, NodeFilter.SHOW_TEXT);
  for (let node = nodes.nextNode(); node; node = nodes.nextNode()) {
    const at = node.data.indexOf(text);
    if (at < 0) continue;
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + text.length);
    return range;
  }
  return null;
}

class Message {
  #message;
  #actions;
  #content = element("div", "content");
  #text = new Text(this.#content);
  #notes = element("div");
  #buttons = element("div", "actions");
  #instead = null;
  #drawn = ""; // of the buttons, so that they keep the focus where nothing changed

  constructor(message, actions) {
    this.#message = message;
    this.#actions = actions;
    const who = element("h3", "", message.role === "user" ? "You" : message.asked.model);
    who.id = `who-${message.id}`;
    this.#content.dir = "auto";
    this.element = element("article", "message", who, this.#content, this.#notes, this.#buttons);
    this.element.tabIndex = -1;
    this.element.setAttribute("aria-labelledby", who.id);
    this.element.dataset.role = message.role;
    this.element.dataset.id = message.id;
    if (message.role === "user") this.#content.append(message.content ? element("p", "", message.content) : element("p", "muted", "(go on)"));
  }

  update(versions) {
    const message = this.#message;
    if (message.role === "assistant") {
      this.element.dataset.state = message.state;
      this.element.setAttribute("aria-busy", message.state === "running");
      this.#text.show(message.content);
      this.#notes.replaceChildren(...this.#told());
    }
    const wanted = JSON.stringify([message.state, message.problemCode, versions.map(({ id }) => id)]);
    if (wanted === this.#drawn) return;
    this.#drawn = wanted;
    this.#buttons.replaceChildren(...this.#versions(versions), ...this.#choices());
  }

  #told() {
    const message = this.#message;
    const told = [element("p", "facts", facts(message))];
    if (message.finish === "length") told.push(element("p", "cut", message.tokens === message.asked.max_tokens ? "Cut here: these are all the tokens that were asked for" : "Cut here: the model's context is full"));
    if (message.state === "failed") told.push(element("p", "problem", message.problem));
    return told;
  }

  #versions(versions) {
    if (versions.length < 2) return [];
    const at = versions.indexOf(this.#message);
    const step = (label, description, other) => {
      const made = button(label, () => this.#actions.choose(other), description);
      made.disabled = !other;
      return made;
    };
    return [step("‹", "Version before", versions[at - 1]), `${at + 1}/${versions.length}`, step("›", "Next version", versions[at + 1])];
  }

  #choices() {
    const message = this.#message;
    const act = (label, name) => button(label, (event) => this.#actions[name](message, event.currentTarget));
    if (message.role === "user") return [act("Edit", "edit"), act("Copy", "copy")];
    if (message.state === "running") return [];
    const choices = [act("Copy", "copy"), act("Another", "another"), act("Reproduce", "reproduce"), act("curl", "curl"), act("Tokens", "tokens")];
    if (message.asked.plain) choices.unshift(act("Go on", "goOn"));
    if (message.problemCode === "context_length_exceeded") choices.unshift(act("Leave out the oldest messages", "shorten"));
    return choices;
  }

  edit() {
    const field = element("textarea");
    field.value = this.#message.content;
    field.rows = 4;
    field.setAttribute("aria-label", "Message, edited");
    const end = () => {
      box.replaceWith(this.#content);
      this.#buttons.hidden = false;
      this.#buttons.querySelector("button")?.focus();
    };
    const send = () => {
      end();
      this.#actions.edited(this.#message, field.value);
    };
    const box = element("div", "edit", field, element("div", "row", button("Send as a new branch", send), button("Cancel", end)));
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") end();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
    });
    this.#content.replaceWith(box);
    this.#buttons.hidden = true;
    field.focus();
  }

  showInstead(other) {
    (this.#instead ?? this.#content).replaceWith(other ?? this.#content);
    this.#instead = other;
  }
}
