// Dialogs: each ends by its button, by its Cancel button or by Escape.

const dialog = (id) => document.getElementById(id);

for (const cancel of document.querySelectorAll("dialog .cancel")) {
  cancel.addEventListener("click", () => cancel.closest("dialog").close());
}

// openDialog opens a dialog and returns whether it was ended by its button.
export function openDialog(id) {
  const form = dialog(id).querySelector("form");
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      resolve(true);
      dialog(id).close();
    };
    dialog(id).onclose = () => resolve(false); // too late after the button
    if (!dialog(id).open) dialog(id).showModal();
  });
}

let asking = null;

// askForKey returns a key, or null if the reader gives none. Requests that want one at the same time share the question.
export function askForKey(wrong) {
  return asking ??= (async () => {
    const field = document.getElementById("key");
    document.getElementById("key-title").textContent = wrong ? "The server does not know this key" : "This server wants a key";
    field.value = "";
    const given = await openDialog("key-dialog");
    asking = null;
    return given ? field.value.trim() : null;
  })();
}

// compare shows two texts side by side, the second one once it has come.
export async function compare(before, coming) {
  const put = (id, text) => { document.getElementById(id).textContent = text; };
  put("before", before);
  put("again", "");
  put("verdict", "Asking again with the same seed …");
  openDialog("reproduction");
  try {
    const { text, verdict } = await coming;
    put("again", text);
    put("verdict", verdict);
  } catch (error) {
    put("verdict", error.message);
  }
}

// showCommand shows a command, to be copied.
export function showCommand(text) {
  document.getElementById("curl").textContent = text;
  const copy = document.getElementById("copy-curl");
  copy.hidden = !navigator.clipboard; // there is none on pages without TLS: the text can be selected
  copy.onclick = () => navigator.clipboard.writeText(text);
  openDialog("command");
}
