// What screen readers are told, in a live region.

const region = document.getElementById("announcements");

// least is how many characters of an answer are said at once, whole sentences at least: not a token at a time.
const least = 150;

const sentenceEnd = /[.!?…。！？]["'”’»)\]*_]*\s|\n/g;

// announce says a text in place of what was said before.
export function announce(text) { region.replaceChildren(text); }

// Speaker says an answer while it grows.
export class Speaker {
  #said = 0; // characters

  constructor(from = 0) {
    this.#said = from;
    region.replaceChildren();
  }

  // grown says what is there of whole sentences, once that is enough.
  grown(text) {
    if (text.length - this.#said < least) return;
    const ends = [...text.slice(this.#said).matchAll(sentenceEnd)].map((match) => this.#said + match.index + match[0].length);
    const end = ends.at(-1) ?? 0;
    if (end - this.#said >= least) this.#say(text, end);
  }

  // ended says the rest.
  ended(text) { this.#say(text, text.length); }

  #say(text, end) {
    const part = document.createElement("p");
    part.textContent = text.slice(this.#said, end);
    if (part.textContent !== "") region.append(part);
    this.#said = end;
  }
}
