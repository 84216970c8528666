// Who came up with a token: the model itself, or something cheap that guessed it before, rightly.

// origins are those that the server names, each with the letter that answers keep for it.
const origins = [
  { name: "target", letter: "t", label: "the model itself" },
  { name: "draft", letter: "d", label: "draft model" },
  { name: "n-gram", letter: "n", label: "n-gram look-up" },
];

const unknown = "?";

// letters returns a letter for each of a server's names.
export function letters(names) {
  return names.map((name) => origins.find((origin) => origin.name === name)?.letter ?? unknown).join("");
}

export function isOrigins(value) { return typeof value === "string" && /^[tdn?]*$/.test(value); }

// originOf returns what a letter stands for: {name, label}, undefined if nobody knows.
export function originOf(letter) { return origins.find((origin) => origin.letter === letter); }

// count returns how many tokens are of each origin that there is: {name, label, tokens}.
export function count(kept) {
  return origins.map((origin) => ({ ...origin, tokens: kept.split(origin.letter).length - 1 })).filter(({ tokens }) => tokens > 0);
}
